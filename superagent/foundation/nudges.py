"""Nudges tell a worker that there is something to do. Best effort: the work is a row, which a sweep finds in any case.

Tasks are sent by name, so that domain modules need not import them; a task opens its own scope. No caller waits for the
broker: nudges have connections of their own, with timeouts (a worker's must wait for messages), behind Redis's circuit
breaker, and after a failure none are sent for a while.
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
    """For a broker that refuses connections, or costs a timeout each time."""

    name = "broker"

    def __init__(self) -> None:
        super().__init__(failures=1, pause_seconds=PAUSE_SECONDS)


breaker = BrokerBreaker()


def send(task: str, *args: str, queue: str | None = None) -> None:
    """Send the task of this name to a worker, on the task's own queue unless one is given.

    Never raises, and never blocks for long.
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
    """Returns this process's producers: connections do not survive a fork."""
    limits = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "max_retries": 0,
    }
    connections = current_app.connection_for_write(transport_options=limits).Pool(limit=MOST_CONNECTIONS)
    return ProducerPool(connections, limit=MOST_CONNECTIONS)
