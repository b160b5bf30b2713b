"""The outbox: work for after a transaction is a row written in it.

`transaction.on_commit` nudges a worker; a sweep finds messages left by a lost nudge or a killed worker. A message is
claimed in one short transaction (a lease), handled outside of any, and finished by a conditional update. A handler may
therefore run twice, even concurrently if it outlives its lease: it passes `message.id` on as idempotency key or writes
behind a unique constraint. Retries and dead letters follow `foundation.retries`.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from superagent.foundation import nudges, retention, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.retries import RetryPolicy

LEASE = timedelta(minutes=2)
POLICY = RetryPolicy("outbox", longest_backoff=timedelta(hours=1), of_first_attempt=("first_sent_at",))
DONE_KEPT_FOR = timedelta(days=30)

DEFAULT = "default"
DELIVER = "superagent.foundation.tasks.deliver_outbox_message"

Handler = Callable[[OutboxMessage], None]
_handlers: dict[str, Handler] = {}
_queues: dict[str, str] = {}
"""Celery's queue of each topic that is not on the default one."""

log = structlog.get_logger(__name__)


def handler(topic: str, *, queue: str = DEFAULT) -> Callable[[Handler], Handler]:
    """Register the one function that handles `topic`; it runs in the system scope, outside of a transaction.

    `queue` is Celery's. Topics that call a system that may hang have a queue and a sweep of their own (`sweep`), so
    that mail and the rest do not wait for it.
    """

    def register(function: Handler) -> Handler:
        if topic in _handlers and _handlers[topic] is not function:
            raise ValueError(f"outbox topic {topic} has a handler already")
        _handlers[topic] = function
        if queue != DEFAULT:
            _queues[topic] = queue
        return function

    return register


def enqueue(
    *,
    topic: str,
    payload: dict[str, Any],
    dedupe_key: str | None = None,
    organization_id: UUID | None = None,
    due_at: datetime | None = None,
) -> None:
    """Write a message in the caller's transaction; the same `dedupe_key` is written once, ever.

    `payload` must be JSON and free of secrets. `due_at` is real time. Without an `organization_id` the message is the
    current tenant's, if there is one.
    """
    message = OutboxMessage(
        topic=topic,
        payload=payload,
        dedupe_key=dedupe_key,
        organization_id=organization_id or tenancy.current().organization_id,
        due_at=due_at or timezone.now(),
    )
    OutboxMessage.objects.bulk_create([message], ignore_conflicts=dedupe_key is not None)
    if due_at is None:
        transaction.on_commit(lambda: _nudge(message))


def deliver(message_id: UUID) -> None:
    """Claim and handle one message; nothing happens if it is done, dead, leased or not yet due."""
    with tenancy.system("outbox"):
        message = _claim(message_id)
        if message is None:
            return
        POLICY.run(message, _handlers[message.topic], topic=message.topic, message=str(message.pk))


def sweep(*, queue: str = DEFAULT, limit: int = 500, seconds: float = 60) -> int:
    """Deliver the due messages of a queue's topics, for at most `seconds`. Returns the number of messages tried."""
    deadline = time.monotonic() + seconds
    others = [topic for topic, of_topic in _queues.items() if of_topic != queue]
    with tenancy.system("outbox sweep"):
        due_now = POLICY.due(OutboxMessage.objects.exclude(topic__in=others))
        if queue != DEFAULT:
            due_now = due_now.filter(topic__in=list(_queues))
        due = list(due_now.order_by("due_at").values_list("pk", flat=True)[:limit])
    for tried, message_id in enumerate(due):
        if time.monotonic() > deadline:
            return tried  # the next run continues, before this one reaches the task time limit
        deliver(message_id)
    return len(due)


def replay(message: OutboxMessage, *, by_person: bool = False) -> bool:
    """Retry a dead message under the same id. Returns whether it was dead.

    `by_person`: staff have checked that nothing was done in the outside system, so the message counts as never sent.
    """
    fields: dict[str, Any] = {"first_sent_at": None} if by_person else {}
    dead = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.DEAD)
    with transaction.atomic():
        is_dead = POLICY.replay(dead, **fields)
        if is_dead:
            transaction.on_commit(lambda: _nudge(message))
    return bool(is_dead)


def dismiss(message: OutboxMessage) -> bool:
    """Dismiss a dead message: staff decided that it cannot succeed. Returns whether it was dead.

    The row stays as a record; it no longer counts as waiting for staff.
    """
    dead = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.DEAD)
    return bool(dead.update(state=OutboxMessage.State.DISMISSED, finished_at=timezone.now()))


def forget_done(*, now: datetime) -> int:
    """Delete messages that were done longer ago than they are kept. Returns their number. Runs in the system scope.

    Of a message with a `dedupe_key` the key is kept without its content: it is written once, ever.
    """
    old = OutboxMessage.objects.filter(
        state=OutboxMessage.State.DONE, finished_at__lt=now - DONE_KEPT_FOR
    ).order_by("finished_at")
    emptied = retention.update(
        old.filter(dedupe_key__isnull=False), state=OutboxMessage.State.FORGOTTEN, payload={}, last_error=""
    )
    return emptied + retention.delete(old.filter(dedupe_key__isnull=True))


def _nudge(message: OutboxMessage) -> None:
    """Nudge a worker; if the nudge is lost, the sweep delivers the message."""
    nudges.send(DELIVER, str(message.pk), queue=_queues.get(message.topic, DEFAULT))


def _claim(message_id: UUID) -> OutboxMessage | None:
    now = timezone.now()
    with transaction.atomic():
        rows = OutboxMessage.objects.select_for_update(skip_locked=True).filter(pk=message_id)
        message = POLICY.due(rows).first()
        if message is None:
            return None
        message.attempts += 1
        message.due_at = now + LEASE
        message.first_sent_at = message.first_sent_at or now
        message.save(update_fields=["attempts", "due_at", "first_sent_at"])
        return message
