"""The archive of Spark's classes: the JVM of a job takes it."""

from __future__ import annotations

from tests.support.spark import run
from tests.support.stack import Stack
from watershed.stack import spark_archive

SESSION = "from watershed.settings import load_settings\n"
SESSION += "from watershed.spark.session import batch_session\n"
SESSION += "print(batch_session(load_settings(), 'archive').range(7).count())"


def test_a_job_s_java_maps_it(stack: Stack) -> None:
    """With ``-Xshare:on`` Java ends where it cannot, instead of going without."""
    options = f"{spark_archive.options()} -Xshare:on"
    printed, _ = run(stack, stack.settings, "-c", SESSION, WATERSHED_SPARK_JAVA_OPTIONS=options)
    assert printed.split() == ["7"]
