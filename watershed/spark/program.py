"""How a batch job runs as a program: its settings, its log, its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from py4j.protocol import Py4JJavaError

from watershed.errors import WatershedError
from watershed.parent import end_with
from watershed.settings import Settings, load_settings
from watershed.spark.java import of_cassandra
from watershed.stores.unavailable import UNAVAILABLE

REMEDY = "./ws status shows who is away; try again"


def run_job(name: str, arguments: Sequence[str], run: Callable[[Settings], None]) -> int:
    """Run a job with the settings that its arguments say; 1 with cause and remedy if it cannot."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    for noisy in ("py4j", "cassandra"):
        logging.getLogger(noisy).setLevel("ERROR")
    try:
        settings = load_settings(arguments=arguments)
        end_with(settings.parent_pid)
        run(settings)
    except WatershedError as error:
        logging.getLogger(name).error("%s", error)
        return 1
    except UNAVAILABLE as error:
        what = f"{type(error).__name__}: {error}".strip()
        logging.getLogger(name).error("%s\n  -> %s", what, REMEDY)
        return 1
    except Py4JJavaError as error:
        said = of_cassandra(error)
        if said is None:
            raise
        logging.getLogger(name).error("Cassandra: %s\n  -> %s", said, REMEDY)
        return 1
    return 0
