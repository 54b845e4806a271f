"""Why a contract's stream does not get on: when it was refused, what it tries again and again."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE control.stream
            ADD COLUMN refused_at  timestamptz,
            ADD COLUMN trouble     text;
        COMMENT ON COLUMN control.stream.refused_at IS
            'When the refusal was last found to hold; null without one';
        COMMENT ON COLUMN control.stream.trouble IS
            'What keeps batches from being written, try after try; null while it goes on';
    """)
