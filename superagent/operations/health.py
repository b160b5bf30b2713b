"""Health checks. Live: the process responds. Ready: the database responds; nothing else decides.

The product works without the other parts (docs/operations: "Graceful degradation"), so they are only reported as
degraded: a load balancer must not take every process out because Redis is down.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from celery import signals
from django.conf import settings
from django.db import DatabaseError, connection

from billing.stripe import patience
from metering.request_path import backlog
from superagent.celery import PAYING
from superagent.foundation import redis_client, tenancy
from superagent.operations import backlogs

BEAT_SECONDS = 10  # how often workers and beat write a heartbeat to Redis
SILENT_SECONDS = 90  # after which they count as down
PAYMENTS = "payments"  # heartbeat of a finished task of the worker that calls Stripe
TASK = "task"  # heartbeat of a finished task; beat sends several each minute
DATABASE_SECONDS = 1
REACH_SECONDS = 0.5
REMEMBER_SECONDS = 15
HEARTBEAT_KEY = "health:{}"

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Part:
    """One dependency of the product; `detail` is for operators and contains no secret."""

    name: str
    is_well: bool
    detail: str
    is_needed: bool = False


class Probe:
    """Runs a check in its own thread, so that one that hangs does not delay the response.

    While a check is running no other is started, so one thread waits for a part that hangs, however many health
    checks arrive.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._pending: Future[Any] | None = None

    def answer(self, *, timeout_seconds: float) -> Any:
        """Returns the result. Raises TimeoutError if it is not ready in time, else what the check raised."""
        with self._lock:
            if self._pending is not None and not self._pending.done():
                raise TimeoutError("an earlier check is still running")
            pending = self._pending = Future()
        threading.Thread(target=self._run, args=(pending,), daemon=True, name="health").start()
        return pending.result(timeout_seconds)

    def _run(self, pending: Future[Any]) -> None:
        try:
            pending.set_result(self._ask())
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            pending.set_exception(error)


def report() -> list[Part]:
    """Returns the state of every part. Takes two seconds at most, even if all of them hang."""
    signs = _signs_of_life()
    database = _database()
    return [
        database,
        _redis(signs),
        _worker(signs),
        _process(PAYMENTS, signs),
        _process("beat", signs),
        _metering(database),
        _late(database),
        _stripe(),
    ]


def _ask_database() -> None:
    try:
        with tenancy.isolated(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # of this thread, which ends; with a pool it goes back there


_database_probe = Probe(_ask_database)


def _database() -> Part:
    try:
        _database_probe.answer(timeout_seconds=DATABASE_SECONDS)
    except (DatabaseError, TimeoutError) as error:
        log.error("database_is_down", error=str(error))
        return Part("database", is_well=False, detail="no answer", is_needed=True)
    return Part("database", is_well=True, detail="answers", is_needed=True)


def _signs_of_life() -> dict[str, float] | None:
    """Returns the seconds since the last heartbeat of each process and of finished tasks; None without Redis."""
    names = ("worker", "beat", TASK, PAYMENTS)
    try:
        signed = redis_client.connection().mget([HEARTBEAT_KEY.format(name) for name in names])
    except redis_client.LOST:
        return None
    now = time.time()
    return {name: max(now - float(at), 0.0) for name, at in zip(names, signed, strict=True) if at is not None}


def _redis(signs: dict[str, float] | None) -> Part:
    if signs is None:
        return Part(
            "redis", is_well=False, detail="no answer: limits are counted in PostgreSQL or not at all"
        )
    return Part("redis", is_well=True, detail="answers")


def _process(name: str, signs: dict[str, float] | None) -> Part:
    if signs is None:
        return Part(name, is_well=False, detail="not known without Redis")
    if name not in signs:
        return Part(name, is_well=False, detail=f"no sign of life for {SILENT_SECONDS} s")
    return Part(name, is_well=True, detail=f"last sign of life {signs[name]:.0f} s ago")


def _worker(signs: dict[str, float] | None) -> Part:
    """Its main process may be healthy while its children hang or are all busy with long tasks."""
    part = _process("worker", signs)
    if signs and part.is_well and "beat" in signs and TASK not in signs:
        return Part("worker", is_well=False, detail=f"no task was finished for {SILENT_SECONDS} s")
    return part


def _ask_metering() -> list[str]:
    try:
        return backlog.problems()
    finally:
        connection.close()  # as above


_metering_probe = Probe(_ask_metering)


def _metering(database: Part) -> Part:
    """Whether answered requests are recorded in the database, on this and every other host."""
    if not database.is_well:
        return Part("metering", is_well=False, detail="not known without the database")
    try:
        found = _remembered("metering", lambda: _metering_probe.answer(timeout_seconds=DATABASE_SECONDS))
    except (DatabaseError, TimeoutError):
        return Part("metering", is_well=False, detail="no answer")
    return Part("metering", is_well=not found, detail="; ".join(found) or "what is answered is recorded")


def _ask_late() -> list[str]:
    try:
        return [f"{measure.queue.name} {measure.count}" for measure in backlogs.late()]
    finally:
        connection.close()  # as above


_late_probe = Probe(_ask_late)


def _late(database: Part) -> Part:
    """Work that has failed for an hour: an outside system is down, or refuses our key."""
    if not database.is_well:
        return Part("work", is_well=False, detail="not known without the database")
    try:
        found = _remembered("late", lambda: _late_probe.answer(timeout_seconds=DATABASE_SECONDS))
    except (DatabaseError, TimeoutError):
        return Part("work", is_well=False, detail="no answer")
    return Part("work", is_well=not found, detail="; ".join(found) or "nothing is late")


def _stripe() -> Part:
    host = getattr(settings, "STRIPE_API_HOST", "https://api.stripe.com")
    name = "sandbox" if settings.STRIPE_USES_SANDBOX else "stripe"
    if patience.breaker.is_known_to_be_silent():
        return Part(name, is_well=False, detail="does not answer: payments wait")
    is_well = _remembered(host, lambda: _can_connect(host))
    return Part(name, is_well=is_well, detail="reachable" if is_well else "not reachable: payments wait")


_memory: dict[str, tuple[float, Any]] = {}


def _remembered(key: str, ask: Callable[[], Answer]) -> Answer:
    """Returns the cached result of the last seconds, so that health checks put no load on others."""
    asked_at, answer = _memory.get(key, (-REMEMBER_SECONDS, None))
    if time.monotonic() - asked_at >= REMEMBER_SECONDS:
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


def heartbeat(name: str) -> None:
    """Store a heartbeat of the process `name` in Redis, at most every BEAT_SECONDS."""
    if time.monotonic() - _signed_at.get(name, -BEAT_SECONDS) < BEAT_SECONDS:
        return
    _signed_at[name] = time.monotonic()
    try:
        redis_client.connection().set(HEARTBEAT_KEY.format(name), time.time(), ex=SILENT_SECONDS)
    except redis_client.LOST as error:
        log.warning("heartbeat_not_written", process=name, error=str(error))


@signals.heartbeat_sent.connect
def _worker_lives(**kwargs: Any) -> None:
    heartbeat("worker")


@signals.task_postrun.connect
def _task_ended(**kwargs: Any) -> None:
    """Sent by the child process that ran the task: the worker's main process stays alive when its children hang."""
    request = kwargs["task"].request
    if not request.called_directly:
        heartbeat(PAYMENTS if request.delivery_info.get("routing_key") in PAYING else TASK)


@signals.beat_init.connect
def _beat_starts(**kwargs: Any) -> None:
    """In the beat process only: every task that it sends is a heartbeat; the outbox sweep is due every 15 s."""
    signals.after_task_publish.connect(_beat_lives)


def _beat_lives(**kwargs: Any) -> None:
    heartbeat("beat")
