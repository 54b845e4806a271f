-- Reference data that people keep in PostgreSQL, and copies of what they keep elsewhere.
-- Run at every start, so each statement can be repeated; the rows of postgres/*.csv follow it.

CREATE TABLE IF NOT EXISTS reference.branch (
    branch  text PRIMARY KEY CHECK (branch <> ''),
    region  text NOT NULL CHECK (region <> ''),
    city    text NOT NULL CHECK (city <> ''),
    opened  date NOT NULL
);
COMMENT ON TABLE reference.branch IS 'The bank''s branches';
COMMENT ON COLUMN reference.branch.branch IS 'Name, as events have it';
COMMENT ON COLUMN reference.branch.region IS 'Federal district';
COMMENT ON COLUMN reference.branch.opened IS 'First day of business';

CREATE TABLE IF NOT EXISTS reference.fx_manual (
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    day         date NOT NULL CHECK (day >= '1999-01-01'),
    per_eur     numeric(18,8) NOT NULL CHECK (per_eur > 0),
    source      text NOT NULL DEFAULT 'entered by hand' CHECK (source NOT IN ('', 'ecb')),
    entered_by  text NOT NULL DEFAULT current_user,
    note        text,
    PRIMARY KEY (currency, day)
);
COMMENT ON TABLE reference.fx_manual IS
    'Exchange rates that people enter, for what the European Central Bank does not quote';
COMMENT ON COLUMN reference.fx_manual.per_eur IS 'Units of the currency for one euro';
COMMENT ON COLUMN reference.fx_manual.day IS 'Stands from this day on, until a later rate does';
COMMENT ON COLUMN reference.fx_manual.source IS
    'Where it was taken from; each amount converted with it has this beside it';

CREATE TABLE IF NOT EXISTS reference.currency (
    currency     text PRIMARY KEY,
    name         text NOT NULL,
    minor_units  integer NOT NULL
);
COMMENT ON TABLE reference.currency IS
    'MariaDB''s treasury.currency as the newest snapshot has it: enter nothing here';
COMMENT ON COLUMN reference.currency.minor_units IS 'Digits behind the point: 2 for cents';

CREATE TABLE IF NOT EXISTS reference.position_limit (
    currency      text PRIMARY KEY,
    limit_amount  numeric(20,2) NOT NULL
);
COMMENT ON TABLE reference.position_limit IS
    'MariaDB''s treasury.position_limit as the newest snapshot has it: enter nothing here';
COMMENT ON COLUMN reference.position_limit.limit_amount IS
    'How far the open position may be from zero, in units of the currency';
