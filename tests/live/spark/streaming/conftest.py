"""One application that streams an event type per test: that the others go on while one is refused
is part of what is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.application import Application, application
from tests.support.stack import Stack, wait_until

TYPES = ("idle", "rebuilt", "expired", "restored", "recreated", "holes", "shorter")
BY_PRODUCERS_CLOCK = ("straggler", "ahead", "behind")


@pytest.fixture(scope="package")
def app(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("streaming")
    application(stack, folder, *BY_PRODUCERS_CLOCK, create_time=True)
    declared = application(stack, folder, *TYPES)
    with declared.running("app"):
        # Spark's start, and the first plan of ten queries, are not what is tested.
        wait_until(declared.has_started, "each contract's query lives", 180)
        yield declared
