"""Spark's classes in an archive of the JVM's, made once per user.

Loading and checking some 15,000 classes is most of the CPU of a start; a JVM that maps them from an
archive needs a third less of it (docs/decisions/0014). The archive fits one Java and one class
path, and is named for both; a JVM to which it does not fit says so and goes without. It builds on
one of Java's own classes, which is made too: the packaged Java comes without.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from watershed.errors import StackError
from watershed.stack import jars
from watershed.stack.home import ROOT, cache_dir
from watershed.stack.java import java, java_home
from watershed.stack.once import made_once
from watershed.stack.packages import package_folder
from watershed.stack.processes import end_all

BASE, NAME = "java.jsa", "spark.jsa"
MAKING_S = 300
WARNINGS = "-Xlog:disable -Xlog:all=warning:stderr"
"""Standard output, where Java warns, is the program's own."""


def options() -> str:
    """What Spark's JVM is started with; makes the archive if it is not there."""
    folder = fetch()
    return f'"-XX:SharedArchiveFile={folder / BASE}:{folder / NAME}" {WARNINGS}'


def fetch() -> Path:
    """The folder with the archive, made if it is not there. Raises StackError."""
    return made_once(_folder(), _make)


def missing() -> bool:
    """Whether a start would have to make it first."""
    return "spark" in jars.missing() or not _folder().exists()


def _folder() -> Path:
    release = (java_home() / "release").read_bytes()
    program = (ROOT / "watershed" / "spark" / "class_archive.py").read_bytes()
    class_path = _listing(jars.fetch("spark")) + _listing(package_folder("pyspark") / "jars")
    found = f"{java_home()} {class_path}".encode()
    name = hashlib.sha256(release + program + found).hexdigest()[:12]
    return cache_dir() / "archives" / f"spark-{name}"


def _listing(folder: Path) -> str:
    """What Java compares of a folder's jars: their names in the order found, size and time."""
    files = ((file.path, file.stat()) for file in os.scandir(folder))
    return str([(path, stat.st_size, stat.st_mtime_ns) for path, stat in files])


def _make(folder: Path) -> None:
    """Let a Spark do a little of everything, and keep the classes that it needed."""
    _run([java(), "-Xshare:dump", f"-XX:SharedArchiveFile={folder / BASE}"], {}, folder / BASE)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "watershed.spark.class_archive"]
        _run(command, _environment(Path(scratch), folder), folder / NAME)


def _run(command: list[str], environment: dict[str, str], made: Path) -> None:
    """Run what makes an archive. Raises StackError when it has not."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=MAKING_S)
        except subprocess.TimeoutExpired:
            end_all([psutil.Process(process.pid)])  # with the JVM
            raise StackError(
                f"Spark's classes are not archived after {MAKING_S} s",
                "try again when the machine has less to do",
            ) from None
    if process.returncode or not made.exists():
        raise StackError(
            f"Spark's classes cannot be archived: {said[-800:].strip()}",
            "is there room on the disk (200 MB), and does Java 17 run? then try again",
        )


def _environment(scratch: Path, folder: Path) -> dict[str, str]:
    """Settings under which no server is found: nothing listens at port 1."""
    (scratch / "cassandra_password").write_text("nobody asks for it")
    settings = {
        "CASSANDRA_PORT": "1",
        "KAFKA_BROKERS": "127.0.0.1:1",
        "SCHEMAS_DIR": str(ROOT / "schemas"),
        "SCRATCH_DIR": str(scratch),
        "SECRETS_DIR": str(scratch),
        "SPARK_JARS": jars.class_path("spark"),
        # Nothing here runs for so long that code would be worth optimizing.
        "SPARK_JAVA_OPTIONS": f'"-XX:SharedArchiveFile={folder / BASE}"'
        f' "-XX:ArchiveClassesAtExit={folder / NAME}" -XX:TieredStopAtLevel=1',
    }
    return {
        **{f"WATERSHED_{key}": value for key, value in settings.items()},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(scratch),
        "JAVA_HOME": str(java_home()),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
