"""What Java says when Spark cannot do something, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError

CASSANDRA = "com.datastax."
"""Of the driver's and the connector's own errors, and of nothing else in this project."""

UNREACHED = "Failed to open native connection"
"""How the connector's begins, in an ordinary IOException, when no node answers at all."""


def first_line(error: Any) -> str:
    """What a Java exception says, without the lines that follow."""
    return str(error.getMessage() or error.getClass().getSimpleName()).splitlines()[0]


def of_cassandra(error: Py4JJavaError) -> str | None:
    """What Cassandra's driver says in an error of Spark's; None where it is not the cause."""
    for cause in _causes(error.java_exception):
        text = first_line(cause)
        if cause.getClass().getName().startswith(CASSANDRA) or text.startswith(UNREACHED):
            return text
    return None


def _causes(error: Any) -> Iterator[Any]:
    """A Java exception and its causes, the last of which is its own or none."""
    while error is not None:
        yield error
        error = error.getCause()
