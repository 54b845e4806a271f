"""What a start has to fetch or make first, once per user: jars, MariaDB, Airflow's environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from watershed.stack import airflow_environment, jars, mariadb_programs, spark_archive

JARS_MB = {"spark": 21, "kafka": 46, "cassandra": 64}


@dataclass(frozen=True)
class Download:
    """Something that is not in the cache; ``megabytes`` is about what crosses the network, 0 of
    what is made here."""

    name: str
    megabytes: int
    fetch: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.name} ({self.megabytes} MB)" if self.megabytes else self.name


def missing(*, batch: bool) -> list[Download]:
    """What a start would have to fetch, with the batch layer or without it."""
    return list(_missing(batch))


def fetch_all(downloads: list[Download], done: Callable[[Download], None]) -> None:
    """Fetch everything side by side; ``done`` is told of each. Raises StackError."""
    with ThreadPoolExecutor(max(1, len(downloads))) as pool:
        fetched = [pool.submit(download.fetch) for download in downloads]
        for one, future in zip(downloads, fetched, strict=True):
            future.result()
            done(one)


def _missing(batch: bool) -> Iterator[Download]:
    for jar_set in jars.missing():
        yield Download(f"jars of {jar_set}", JARS_MB[jar_set], partial(jars.fetch, jar_set))
    if spark_archive.missing():
        yield Download("an archive of Spark's classes", 0, spark_archive.fetch)
    if batch and mariadb_programs.missing():
        yield Download("MariaDB", 149, mariadb_programs.fetch)
    if batch and airflow_environment.missing():
        yield Download("Airflow's packages", 80, airflow_environment.airflow_environment)
