"""Nudges: a worker is told at once that there is something to do. Best effort: what is to be done is a row, and a sweep
finds it in any case.

A task is named, so that what knows of the work need not import the queue's end of it; it opens its own scope.
Nobody waits for a broker. Nudges have connections of their own, with time-outs (a worker's must wait for messages),
behind the breaker of Redis; and after a failure there are none for a while.
"""

import functools
import os
from typing import Any

import redis
import structlog
from celery import current_app
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from superagent.foundation import redis_client
from superagent.foundation.breakers import CircuitBreaker
from superagent.foundation.redis_client import TIMEOUT_SECONDS

PAUSE_SECONDS = 5
MOST_CONNECTIONS = 16  # of one process; each thread that nudges uses one

log = structlog.get_logger(__name__)


class BrokerBreaker(CircuitBreaker):
    """A broker may refuse, or cost a time-out each time."""

    name = "broker"

    def __init__(self) -> None:
        super().__init__(failures=1, pause_seconds=PAUSE_SECONDS)


breaker = BrokerBreaker()


def send(task: str, *args: str, queue: str | None = None) -> None:
    """Have a worker run the task of this name; on the task's own queue if none is named.

    Never raises, and never waits for long.
    """
    if not breaker.lets_through():
        return
    try:
        with redis_client.breaker.guard():
            _publish(task, args, {"queue": queue} if queue else {})
    except Exception as error:  # noqa: BLE001 - a broker fails in many ways; the row is safe
        breaker.timed_out()
        log.warning("nudge_failed", task=task, error=str(error))
    else:
        breaker.answered()


def _publish(task: str, args: tuple[str, ...], options: dict[str, Any]) -> None:
    try:
        with _producers(os.getpid()).acquire(block=True, timeout=TIMEOUT_SECONDS) as producer:
            current_app.send_task(
                task, args=args, producer=producer, retry=False, ignore_result=True, **options
            )
    except OperationalError as error:
        if isinstance(error.__cause__, redis.RedisError):
            raise error.__cause__ from error  # for the breaker of Redis, which tells a time-out from a refusal
        raise


@functools.cache
def _producers(process: int) -> ProducerPool:
    """Of this process: connections do not survive a fork."""
    limits = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "max_retries": 0,
    }
    connections = current_app.connection_for_write(transport_options=limits).Pool(limit=MOST_CONNECTIONS)
    return ProducerPool(connections, limit=MOST_CONNECTIONS)
