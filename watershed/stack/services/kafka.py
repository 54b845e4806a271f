"""Kafka: one broker in KRaft mode, from Maven Central's jars."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode

from watershed.contracts.load import load_contracts
from watershed.errors import StackError
from watershed.provision.topics import ensure_topics
from watershed.stack.home import Home, write_private
from watershed.stack.jars import class_path
from watershed.stack.java import jvm
from watershed.stack.service import Service, render
from watershed.stores.topics import admin

HEAP_MB = 512
LOGGER = "-Dorg.slf4j.simpleLogger."


def kafka(home: Home) -> Service:
    """The broker; its topics are made from the contracts once it answers."""
    data = home.data / "kafka"
    config = home.run / "kafka.properties"
    java = (
        *jvm(HEAP_MB, home.scratch),
        f"{LOGGER}showDateTime=true",
        f"{LOGGER}dateTimeFormat=yyyy-MM-dd HH:mm:ss",
        "-cp",
        class_path("kafka"),
    )

    def prepare() -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        write_private(config, render("kafka.properties", home, data=str(data)))
        if not (data / "meta.properties").exists():
            _format((*java, "kafka.tools.StorageTool"), str(config))

    def ready() -> bool:
        with admin(home.settings()) as client:
            return bool(client.describe_cluster()["brokers"])

    def after() -> None:
        settings = home.settings()
        ensure_topics(settings, load_contracts(settings.schemas_dir, settings.topics).values())

    return Service(
        "kafka", (*java, "kafka.Kafka", str(config)), ready, prepare=prepare, after=after
    )


def _format(tool: tuple[str, ...], config: str) -> None:
    # One id in 64 begins with a dash, which must not look like an option.
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    done = subprocess.run(
        [*tool, "format", f"--cluster-id={cluster}", "-c", config], capture_output=True, text=True
    )
    if done.returncode:
        raise StackError(f"Kafka could not make its data folder: {done.stdout}{done.stderr}")
