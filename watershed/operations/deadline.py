"""Questions to servers that may never answer: asked side by side, each with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


def ask(question: Callable[[], Answer]) -> Future[Answer]:
    """Ask in a thread of its own; ``result(timeout_s)`` has the answer, or what was raised.

    It raises TimeoutError, an OSError, when there is none in time. The thread is left behind then:
    no time limit of psycopg2 or kafka-python ends a call to a server that accepts and is silent.
    """
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # raised again where the answer is looked at
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer
