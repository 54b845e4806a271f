"""How far each partition of a topic is behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from watershed.settings import Settings
from watershed.speed.progress import Progress
from watershed.stores.topics import TopicState, record_times


@dataclass(frozen=True)
class PartitionStatus:
    """One Kafka partition. ``lag_s`` is the age of its oldest record that is not committed."""

    partition: int
    produced: int
    stored: int
    quarantined: int
    skipped: int
    lag_events: int
    lag_s: float
    watermark: datetime | None


def lags(
    settings: Settings, topic: TopicState, progress: Mapping[int, Progress], now: datetime
) -> list[PartitionStatus]:
    """Each partition that is committed and that the topic has; raises KafkaError.

    A re-created topic may have fewer: the stream refuses it.
    """
    known = {partition: state for partition, state in progress.items() if partition in topic.end}
    # What expired has no age.
    oldest = {p: max(state.next, topic.begin[p]) for p, state in known.items()}
    waiting = {p: offset for p, offset in oldest.items() if offset < topic.end[p]}
    times = record_times(settings, topic.name, waiting) if waiting else {}
    return [
        PartitionStatus(
            partition,
            topic.end[partition],
            state.stored,
            state.quarantined,
            state.skipped,
            topic.end[partition] - state.next,
            round(max(0.0, (now - times.get(partition, now)).total_seconds()), 1),
            state.watermark,
        )
        for partition, state in known.items()
    ]
