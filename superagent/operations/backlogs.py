"""Backlogs and dead letters, for metrics and the admin index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db.models import Count, Min, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import AccountClosure
from billing.models import Order, OverageCharge, WebhookEvent
from licensing.models import License
from metering.request_path import backlog
from metering.usage import reconciliation
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage

STUCK_AFTER = timedelta(minutes=5)
LATE_AFTER = timedelta(hours=1)
CLOSURES_ARE_LATE_AFTER = timedelta(hours=2)  # their job runs once an hour

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Queue:
    """`waiting` returns an unordered queryset; `since` is its field for when a row began to wait.

    `is_for_people`: no job processes it; staff must.
    """

    name: str
    title: Promise
    waiting: Callable[[], QuerySet]
    since: str
    query: str
    is_for_people: bool = False

    def measure(self) -> Measure:
        """Count the rows and find the oldest, in one query."""
        found = self.waiting().aggregate(first=Min(self.since), count=Count("pk"))
        first: datetime | None = found["first"]
        age = 0.0 if first is None else max((timezone.now() - first).total_seconds(), 0.0)
        return Measure(self, found["count"], first, age)


@dataclass(frozen=True, slots=True)
class Measure:
    queue: Queue
    count: int
    oldest_at: datetime | None
    age_seconds: float

    @property
    def is_stuck(self) -> bool:
        """True if a worker should have processed it by now, or only staff can."""
        return self.count > 0 and (self.queue.is_for_people or self.age_seconds > STUCK_AFTER.total_seconds())


def _outbox(state: str) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=state)


def _events(state: str) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state=state)


def _is_late() -> datetime:
    return timezone.now() - LATE_AFTER


QUEUES: tuple[Queue, ...] = (
    Queue(
        "outbox",
        _("Outbox: due and not delivered"),
        lambda: _outbox(OutboxMessage.State.PENDING).filter(due_at__lte=timezone.now()),
        since="due_at",
        query="state__exact=pending",
    ),
    Queue(
        "outbox_dead",
        _("Outbox: dead letters"),
        lambda: _outbox(OutboxMessage.State.DEAD),
        since="created_at",
        query="state__exact=dead",
        is_for_people=True,
    ),
    Queue(
        "outbox_late",
        _("Outbox: failing for an hour"),
        lambda: _outbox(OutboxMessage.State.PENDING).filter(first_sent_at__lt=_is_late()),
        since="first_sent_at",
        query="state__exact=pending",
    ),
    Queue(
        "stripe_events",
        _("Stripe's events: not processed yet"),
        lambda: _events(WebhookEvent.State.PENDING),
        since="received_at",
        query="state__exact=pending",
    ),
    Queue(
        "stripe_events_late",
        _("Stripe's events: failing for an hour"),
        lambda: _events(WebhookEvent.State.PENDING).filter(received_at__lt=_is_late()),
        since="received_at",
        query="state__exact=pending",
    ),
    Queue(
        "stripe_events_dead",
        _("Stripe's events: dead letters"),
        lambda: _events(WebhookEvent.State.DEAD),
        since="received_at",
        query="state__exact=dead",
        is_for_people=True,
    ),
    Queue(
        "spool_quarantine",
        _("Metering: lines that the database refused"),
        backlog.quarantined,
        since="quarantined_at",
        query="state__exact=waiting",
        is_for_people=True,
    ),
    Queue(
        "spool_failing",
        _("Metering: spool segments that cannot be shipped"),
        backlog.failing,
        since="failed_at",
        query="failed_at__isempty=0&finished_at__isempty=1",
        is_for_people=True,
    ),
    Queue(
        "spool_silent",
        _("Metering: spool segments that no host ships"),
        backlog.silent,
        since="updated_at",
        query="finished_at__isempty=1",
        is_for_people=True,
    ),
    Queue(
        "quota_disproved",
        _("Metering: billed figures that differ from requests and events"),
        reconciliation.disproved,
        since="period__closed_at",
        query="is_disproved=1",
        is_for_people=True,
    ),
    Queue(
        "overage",
        _("Overage: rated and not invoiced"),
        lambda: OverageCharge.objects.filter(status=OverageCharge.Status.PENDING),
        since="created_at",
        query="status__exact=pending",
    ),
    Queue(
        "account_closures_late",
        _("Accounts: closing is overdue and fails"),
        lambda: AccountClosure.objects.filter(
            withdrawn_at=None, closed_at=None, closes_at__lt=timezone.now() - CLOSURES_ARE_LATE_AFTER
        ),
        since="closes_at",
        query="",
    ),
    Queue(
        "license_statuses_late",
        _("Licenses: status changes that are overdue and fail"),
        lambda: License.objects.late(_is_late()),
        since="due_since",
        query="",
    ),
    Queue(
        "orders_failed",
        _("Orders: payment failed in the last week"),
        lambda: Order.objects.filter(
            status=Order.Status.FAILED, created_at__gte=timezone.now() - timedelta(days=7)
        ),
        since="created_at",
        query="status__exact=failed",
        is_for_people=True,
    ),
    Queue(
        "licenses_suspended",
        _("Licenses: suspended by staff"),
        lambda: License.objects.filter(
            status=License.Status.SUSPENDED, suspension_reason=License.SuspensionReason.MANUAL
        ),
        since="created_at",
        query="status=held",
        is_for_people=True,
    ),
)


def measure_all() -> list[Measure]:
    """Measure all queues. Call it in the system scope."""
    return [queue.measure() for queue in QUEUES]


LATE = tuple(queue for queue in QUEUES if queue.name.endswith("_late"))


def late() -> list[Measure]:
    """Returns queues whose retries keep failing: an outside system is down, a key was refused, a job fails."""
    with tenancy.system("work that is late"):
        return [measure for queue in LATE if (measure := queue.measure()).count]


def alarm() -> int:
    """Every five minutes: raise an alarm for late work, which is still retried. Returns the number of rows."""
    found = late()
    for measure in found:
        log.error(
            "work_is_late",
            queue=measure.queue.name,
            count=measure.count,
            hours=round(measure.age_seconds / 3600, 1),
            alarm=True,
        )
    return sum(measure.count for measure in found)
