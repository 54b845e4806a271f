"""The jars of Spark's connectors and of servers: pinned by checksum, fetched once per user.

``infra/locks/jars.in`` says what is wanted, ``jars.txt`` what that comes to: one line per jar with
its set, its coordinates and its SHA-256. Ivy, which comes inside pyspark, fetches them from Maven
Central, its built-in repository, and from nowhere else: not from a half-filled local Maven cache.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.sax.saxutils import quoteattr

from watershed.errors import StackError
from watershed.stack.home import ROOT, cache_dir
from watershed.stack.java import java
from watershed.stack.once import made_once
from watershed.stack.packages import package_folder
from watershed.stack.truststore import java_options

WANTED = ROOT / "infra" / "locks" / "jars.in"
LOCK = ROOT / "infra" / "locks" / "jars.txt"
SETS = ("spark", "kafka", "cassandra")
"""What a stack's class paths need; another set is fetched by whoever uses it."""

PATTERN = "[organisation]__[module]__[revision]__[artifact](__[classifier]).[ext]"


@dataclass(frozen=True)
class Jar:
    """One pinned jar: ``group:module:version[:classifier]`` and its SHA-256."""

    coordinates: str
    sha256: str

    @property
    def file_name(self) -> str:
        _, module, version, *classifier = self.coordinates.split(":")
        return "-".join([module, version, *classifier]) + ".jar"


def class_path(jar_set: str) -> str:
    """The Java class path of a set, as ``folder/*``; fetches what is missing."""
    return f"{fetch(jar_set)}/*"


def fetch(jar_set: str) -> Path:
    """The folder with exactly the pinned jars of a set, fetched if it is not there."""
    return made_once(_folder(jar_set), partial(download, jar_set))


def missing() -> list[str]:
    """The sets that a start would have to fetch first."""
    return [name for name in SETS if not _folder(name).exists()]


def _folder(jar_set: str) -> Path:
    return cache_dir() / "jars" / f"{jar_set}-{digest(jar_set)}"


def digest(jar_set: str) -> str:
    """Names what is made of a set's jars: another one for other pins."""
    pins = "".join(jar.sha256 for jar in pinned(jar_set))
    return hashlib.sha256(pins.encode()).hexdigest()[:12]


def pinned(jar_set: str) -> list[Jar]:
    """What the lock file says of a set."""
    return [Jar(*rest) for name, *rest in _lines(LOCK) if name == jar_set]


def lock() -> str:
    """Resolve ``jars.in`` anew; the text of ``jars.txt``."""
    wanted = dict.fromkeys(name for name, *_ in _lines(WANTED))
    return "".join(line for jar_set in wanted for line in _lock_set(jar_set))


def _lock_set(jar_set: str) -> Iterable[str]:
    wanted = [rest[0] for name, *rest in _lines(WANTED) if name == jar_set]
    with tempfile.TemporaryDirectory() as scratch:
        _ivy(wanted, Path(scratch), transitive=True)
        for path in sorted(Path(scratch).glob("*.jar")):
            group, module, version, _artifact, *classifier = path.stem.split("__")
            coordinates = ":".join([group, module, version, *classifier])
            if jar_set != "spark" or not _comes_with_spark(module):
                yield f"{jar_set} {coordinates} {_sha256(path)}\n"


def _comes_with_spark(module: str) -> bool:
    """A second copy of a library that pyspark brings would shadow it, or be shadowed."""
    jars = _pyspark_jars().glob(f"{module}-[0-9]*.jar")
    return any(re.fullmatch(re.escape(module) + r"-[\d.]+[^/]*", jar.stem) for jar in jars)


def download(jar_set: str, folder: Path) -> None:
    """Fetch the pinned jars of a set into a folder. Raises StackError, also for an altered jar."""
    jars = pinned(jar_set)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fetched = Path(scratch)
        _ivy([jar.coordinates for jar in jars], fetched, transitive=False)
        for jar in jars:
            _store(jar, fetched, folder)


def _store(jar: Jar, fetched: Path, done: Path) -> None:
    group, module, version, *classifier = jar.coordinates.split(":")
    path = fetched / ("__".join([group, module, version, module, *classifier]) + ".jar")
    if not path.exists() or _sha256(path) != jar.sha256:
        raise StackError(
            f"{jar.coordinates} is not the jar that {LOCK.name} names",
            "try again; if it stays, the repository in between alters jars: ask who runs it",
        )
    shutil.move(path, done / jar.file_name)


def _ivy(coordinates: list[str], into: Path, *, transitive: bool) -> None:
    """Run Ivy with a repository of Maven Central alone and a cache of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "settings.xml"
        settings.write_text(
            '<ivysettings><settings defaultResolver="central"/>'
            f"<caches defaultCacheDir={quoteattr(scratch + '/cache')}/>"
            '<resolvers><ibiblio name="central" m2compatible="true"/></resolvers></ivysettings>'
        )
        module = Path(scratch) / "ivy.xml"
        module.write_text(_ivy_module(coordinates, transitive=transitive))
        ivy = next(_pyspark_jars().glob("ivy-*.jar"))
        command = [
            java(),
            *java_options(Path(scratch)),
            "-jar",
            ivy,
            "-settings",
            settings,
            "-ivy",
            module,
            "-types",
            "jar",
            "bundle",
        ]
        done = subprocess.run(
            [*map(str, command), "-retrieve", f"{into}/{PATTERN}", "-warn"],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise StackError(
            f"Maven Central did not give every jar: {done.stdout[-600:].strip()}",
            "check the network, then run the command again",
        )


def _ivy_module(coordinates: list[str], *, transitive: bool) -> str:
    modules: dict[str, list[str]] = {}  # Ivy takes a module once, with all its classifiers
    for group, module, *rest in (c.split(":") for c in coordinates):
        modules.setdefault(":".join([group, module, *rest[:1]]), []).extend(rest[1:])
    lines = [_ivy_line(m, classifiers, transitive) for m, classifiers in modules.items()]
    return (
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">'
        '<info organisation="watershed" module="jars"/><configurations><conf name="default"/>'
        f"</configurations><dependencies>{''.join(sorted(lines))}</dependencies></ivy-module>"
    )


def _ivy_line(coordinates: str, classifiers: list[str], transitive: bool) -> str:
    group, module, *version = coordinates.split(":")
    if group.startswith("-"):
        where = f"org={quoteattr(group[1:])} module={quoteattr(module)}"
        return f'<exclude {where} matcher="exactOrRegexp"/>'
    artifacts = "".join(
        f'<artifact name={quoteattr(module)} type="jar" m:classifier={quoteattr(classifier)}/>'
        for classifier in classifiers
    )
    return (
        f"<dependency org={quoteattr(group)} name={quoteattr(module)} rev={quoteattr(version[0])}"
        f' transitive="{str(transitive).lower()}" conf="default->default">{artifacts}</dependency>'
    )


def _lines(path: Path) -> Iterable[list[str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()


def _pyspark_jars() -> Path:
    return package_folder("pyspark") / "jars"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
