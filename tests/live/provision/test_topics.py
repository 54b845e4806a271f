"""Topics follow their contracts, also those that are there already."""

from __future__ import annotations

from pathlib import Path

from kafka.admin import ConfigResource, ConfigResourceType

from tests.support.application import Application, application
from tests.support.stack import Stack
from watershed.provision.topics import ensure_topics
from watershed.stores.topics import admin


def _config(app: Application, name: str) -> str:
    with admin(app.settings) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, "kept", [name])
        found = client.describe_configs([resource])["topic"]["kept"][name]
    return str(found["value"])


def test_retention_of_a_topic_follows_its_contract(stack: Stack, tmp_path: Path) -> None:
    app = application(stack, tmp_path, "kept")
    assert _config(app, "retention.ms") == str(168 * 3_600_000)
    path = app.settings.schemas_dir / "kept" / "contract.yaml"
    path.write_text(path.read_text().replace("retention_hours: 168", "retention_hours: 24"))
    ensure_topics(app.settings, [app.contract("kept")])
    assert _config(app, "retention.ms") == str(24 * 3_600_000)
    assert _config(app, "message.timestamp.type") == "LogAppendTime"
