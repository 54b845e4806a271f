"""Options of the JVM that Spark's driver runs in, whoever starts it."""

from __future__ import annotations

from watershed.settings import Settings


def driver_options(settings: Settings) -> str:
    """As ``spark.driver.extraJavaOptions`` takes them.

    A heap that is too small ends the program, and nothing is left outside of the folder that is
    emptied.
    """
    options = [
        "-XX:+UseG1GC",
        # Heap that is free goes back to the machine, which servers share.
        "-XX:MinHeapFreeRatio=15",
        "-XX:MaxHeapFreeRatio=30",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={settings.scratch_dir}",
    ]
    quoted = [f'"{option}"' if " " in option else option for option in options]
    return " ".join([*quoted, *filter(None, [settings.spark_java_options])])
