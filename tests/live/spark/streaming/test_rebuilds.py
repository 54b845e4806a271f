"""The speed layer made again from the raw store, in PostgreSQL and in Redis."""

from __future__ import annotations

from operator import attrgetter

from tests.support.application import Application
from tests.support.progress import is_cached
from tests.support.stack import wait_until
from watershed.speed import cache
from watershed.stores import cassandra, redis

by_offset = attrgetter("kafka_offset")


def test_rebuilt_flow_and_cache_are_what_they_were(app: Application) -> None:
    app.send("rebuilt", "97.00", "-98.50")
    app.wait_committed("rebuilt")
    right = app.position("rebuilt")
    app.query("UPDATE speed.rebuilt_position SET batch_value = batch_value + 1;"
              "UPDATE speed.rebuilt_flow SET batch_value = batch_value + 1")  # fmt: skip
    app.ws("rebuild", "flow", "rebuilt")
    assert app.position("rebuilt") == right
    wait_until(lambda: is_cached(app.settings, "rebuilt"), "the cache has the rebuild's number")
    with redis.connect(app.settings) as client:
        [newest] = client.zrange(cache.list_key("rebuilt", "Kazan"), 0, 0, desc=True)
        client.hset(cache.events_key("rebuilt", "Kazan"), newest, "{}")
    app.ws("rebuild", "cache", "rebuilt")
    app.verify("rebuilt")


def test_a_rebuild_refuses_to_make_sums_from_less_than_was_committed(app: Application) -> None:
    app.send("rebuilt", "5.00", partition=0)
    app.verify("rebuilt")
    right = app.position("rebuilt")
    where = "topic_id = %s AND kafka_partition = 0 AND offset_block = 0 AND kafka_offset = %s"
    last = max((r for r in app.rows("rebuilt") if r.kafka_partition == 0), key=by_offset)
    at = last.topic_id, last.kafka_offset
    with cassandra.connect(app.settings) as session:
        [(row,)] = session.execute(f"SELECT JSON * FROM events.rebuilt WHERE {where}", at)
        session.execute(f"DELETE FROM events.rebuilt WHERE {where}", at)
    schemas = {"WATERSHED_SCHEMAS_DIR": str(app.settings.schemas_dir)}
    refused = app.stack.ws("rebuild", "flow", "rebuilt", check=False, environment=schemas)
    assert refused.returncode == 1
    assert "the raw store is not what was committed" in refused.stderr
    assert app.position("rebuilt") == right
    with cassandra.connect(app.settings) as session:
        session.execute("INSERT INTO events.rebuilt JSON %s", [row])
    app.verify("rebuilt")
