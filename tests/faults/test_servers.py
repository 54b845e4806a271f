"""Servers killed, hanging, slow, one or two at a time: nothing lost, nothing twice, sums exact."""

from __future__ import annotations

import random
import time

import pytest

from tests.support.fault import VICTIMS, Blow, Load, killed, pair, strike
from tests.support.progress import wait_commits
from tests.support.stack import Stack

SERVERS = ("kafka", "cassandra", "postgres", "redis")
PAUSE_S = 6.0
PAIRS = 2
SLOW_FOR_S = 15.0
STOPPED_S, RUNNING_S = 0.8, 0.2


@pytest.mark.parametrize("service", SERVERS)
def test_killed(service: str, stack: Stack, load: Load, verify) -> None:
    with load():
        strike(stack, killed(service))
    verify()


@pytest.mark.parametrize("service", [one for one in VICTIMS if one != "redis"])
def test_paused(service: str, stack: Stack, load: Load, verify) -> None:
    with load():
        strike(stack, Blow(service, PAUSE_S))
    verify()


def test_commits_go_on_while_redis_hangs(stack: Stack, load: Load, verify) -> None:
    with load(), stack.paused("redis"):
        wait_commits(stack, 5)
    verify()


def test_commits_go_on_while_redis_is_away(stack: Stack, load: Load, verify) -> None:
    with load(), stack.away("redis"):
        wait_commits(stack, 5)
    verify()


@pytest.mark.parametrize("number", range(PAIRS))
def test_two_at_once(number: int, stack: Stack, load: Load, dice: random.Random, verify) -> None:
    fault = pair(dice)
    print(fault)
    with load():
        fault.inflict(stack)
    verify()


def test_slow_cassandra(stack: Stack, load: Load, verify) -> None:
    with load():
        until = time.monotonic() + SLOW_FOR_S
        while time.monotonic() < until:
            with stack.paused("cassandra"):
                time.sleep(STOPPED_S)
            time.sleep(RUNNING_S)
    verify()
