"""Is this installation well? Alive: the process answers. Ready: the database does, and it alone decides.

Everything else may fail on purpose (docs/design: "failing on purpose") and is reported as degraded, so that a load
balancer does not take every process out because Redis is away.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import signals
from django.conf import settings
from django.db import DatabaseError, connection

from superagent.foundation import redis_client, tenancy

BEAT_SECONDS = 10  # how often a worker and beat sign the book in Redis
SILENT_SECONDS = 90  # after which they count as gone
REACH_SECONDS = 0.5
REMEMBER_SECONDS = 15
HEARTBEAT_KEY = "health:{}"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the product stands on; `detail` is for operators and names no secret."""

    name: str
    is_well: bool
    detail: str
    is_needed: bool = False


def report() -> list[Part]:
    """The state of every part. Takes two seconds at most, also when all of them are silent."""
    return [_database(), _redis(), _process("worker"), _process("beat"), _stripe()]


def _database() -> Part:
    try:
        with tenancy.isolated(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.error("database_is_down", error=str(error))
        return Part("database", is_well=False, detail="no answer", is_needed=True)
    return Part("database", is_well=True, detail="answers", is_needed=True)


def _redis() -> Part:
    try:
        redis_client.connection().ping()
    except redis_client.LOST:
        return Part(
            "redis", is_well=False, detail="no answer: limits are counted in PostgreSQL or not at all"
        )
    return Part("redis", is_well=True, detail="answers")


def _process(name: str) -> Part:
    try:
        signed = redis_client.connection().get(HEARTBEAT_KEY.format(name))
    except redis_client.LOST:
        return Part(name, is_well=False, detail="not known without Redis")
    if signed is None:
        return Part(name, is_well=False, detail=f"no sign of life for {SILENT_SECONDS} s")
    seconds = max(int(time.time() - float(signed)), 0)
    return Part(name, is_well=True, detail=f"last sign of life {seconds} s ago")


def _stripe() -> Part:
    host = getattr(settings, "STRIPE_API_HOST", "https://api.stripe.com")
    name = "sandbox" if settings.STRIPE_USES_SANDBOX else "stripe"
    is_well = _remembered(host, lambda: _can_connect(host))
    return Part(name, is_well=is_well, detail="reachable" if is_well else "not reachable: payments wait")


_memory: dict[str, tuple[float, bool]] = {}


def _remembered(key: str, ask: Callable[[], bool]) -> bool:
    """The answer of the last seconds: a health check must not become a load on others."""
    asked_at, answer = _memory.get(key, (0.0, False))
    if time.monotonic() - asked_at > REMEMBER_SECONDS:
        answer = ask()
        _memory[key] = time.monotonic(), answer
    return answer


def _can_connect(url: str) -> bool:
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection(address, timeout=REACH_SECONDS):
            return True
    except OSError:
        return False


# --- Signs of life of the processes without a port --------------------------------------------------------------------

_signed_at: dict[str, float] = {}


def sign(name: str) -> None:
    """Write into Redis that the process `name` works; at most every few seconds."""
    if time.monotonic() - _signed_at.get(name, -BEAT_SECONDS) < BEAT_SECONDS:
        return
    _signed_at[name] = time.monotonic()
    try:
        redis_client.connection().set(HEARTBEAT_KEY.format(name), time.time(), ex=SILENT_SECONDS)
    except redis_client.LOST as error:
        log.warning("heartbeat_not_written", process=name, error=str(error))


@signals.heartbeat_sent.connect
def _worker_lives(**kwargs: Any) -> None:
    sign("worker")


@signals.beat_init.connect
def _beat_starts(**kwargs: Any) -> None:
    """In the beat process only: every task that it sends is a sign of life; the outbox sweep is due every 15 s."""
    signals.after_task_publish.connect(_beat_lives)


def _beat_lives(**kwargs: Any) -> None:
    sign("beat")
