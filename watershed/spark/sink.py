"""The sink of a streaming query: called with each of its batches."""

from __future__ import annotations

import threading
from datetime import timedelta

from pyspark.sql import DataFrame

from watershed.spark.batch import BatchWriter

CLOCK_MARGIN = timedelta(seconds=2)
"""A record appended now may have a time that is so much before the probe's: brokers' clocks."""


class Sink:
    """Passes batches to a writer, remembers its error, and can be closed between two batches.

    Spark turns an exception in here into text; the one remembered says what to do about it.
    """

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._busy = threading.Lock()
        self._closed = False
        self.has_succeeded = False
        self.error: Exception | None = None

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        with self._busy:
            if self._closed:
                return  # the checkpoint may think it is written: it is thrown away
            try:
                self._writer.write(frame, batch_id)
                self.has_succeeded = True
            except Exception as error:
                self.error = error
                raise

    def between_batches(self, timeout_s: float) -> None:
        """Move idle watermarks, unless a batch is under way for longer than ``timeout_s``.

        With nothing to read the query has succeeded; else its next batch must show that.
        """
        if self._busy.acquire(timeout=timeout_s):
            try:
                if self._writer.advance_idle(CLOCK_MARGIN) and self.error is None:
                    self.has_succeeded = True
            finally:
                self._busy.release()

    def close(self) -> None:
        """Let the batch under way end, and take no other."""
        with self._busy:
            self._closed = True
