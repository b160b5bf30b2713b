"""The inbox of Stripe's events: stored by id, acknowledged at once, processed in order for each customer.

The table is the queue; Celery is only nudged. Events are partitioned by customer. One worker at a time processes a
partition, in the order of `created`, under a lease that expires by itself when the worker is killed. A failed event is
retried with backoff until it succeeds, without blocking its partition. Only what can never succeed becomes a dead
letter, which staff may replay and the nightly reconciliation retries once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing.models import WebhookEndpoint, WebhookEvent, WebhookLease
from billing.stripe import batches, client, event_payloads
from superagent.foundation import identifiers, nudges, retention, tenancy
from superagent.foundation.retries import RetryPolicy

LEASE = timedelta(seconds=45)
POLICY = RetryPolicy("webhook", longest_backoff=timedelta(minutes=15))
CATALOG_PARTITION = "catalog"
MALFORMED = "malformed"
PROCESS_TASK = "billing.tasks.process_webhooks"
POLLED_AT_ONCE = 20
STORED_AT_ONCE = 100
BATCH = 50
KEPT_FOR = timedelta(days=45)

Handler = Callable[[WebhookEvent], None]
Json = dict[str, Any]
HANDLERS: dict[str, Handler] = {}
"""Filled by billing.webhook_handlers when the app starts."""

log = structlog.get_logger(__name__)


class InvalidDelivery(Exception):
    """A delivery to refuse with 400: not signed by Stripe, too old, of another mode or another API version."""


def handles(*types: str) -> Callable[[Handler], Handler]:
    """Register the one function for events of `types`; it may run twice, and outside of a transaction."""

    def register(function: Handler) -> Handler:
        for each in types:
            HANDLERS[each] = function
        return function

    return register


def receive(*, endpoint: WebhookEndpoint, payload: bytes, signature: str) -> str | None:
    """Store a delivery. Returns the partition to nudge, or None if there is nothing to do. Raises InvalidDelivery.

    A signed payload that cannot be parsed is stored as a dead letter. Calls neither Stripe nor the queue.
    """
    try:
        client.verify_signature(payload=payload.decode(), header=signature, secrets=_secrets(endpoint))
    except (client.BadSignature, ValueError) as error:
        raise InvalidDelivery(f"The signature is not valid: {error}.") from error
    try:
        event = event_payloads.parse(payload)
    except event_payloads.InvalidEvent as error:
        _store_dead_letter(payload, str(error))
        return None
    if event["livemode"] != settings.STRIPE_LIVE_MODE:
        raise InvalidDelivery("The event is of another mode (live or test) than this installation.")
    if event.get("api_version") != client.API_VERSION:
        raise InvalidDelivery(f"The event is of another API version than {client.API_VERSION}.")
    is_new = store([event]) > 0
    return partition_of(_subject(event)) if is_new and event["type"] in HANDLERS else None


def _store_dead_letter(payload: bytes, why: str) -> None:
    """Store a payload that cannot be parsed as a dead letter, once, for staff to read."""
    name = f"malformed:{hashlib.sha256(payload).hexdigest()}"
    now = timezone.now()
    letter = WebhookEvent(
        stripe_id=name,
        type=MALFORMED,
        partition_key=MALFORMED,
        livemode=settings.STRIPE_LIVE_MODE,
        api_version="",
        payload={"body": event_payloads.excerpt(payload)},
        state=WebhookEvent.State.DEAD,
        last_error=why,
        created_at=now,
        finished_at=now,
    )
    WebhookEvent.objects.bulk_create([letter], ignore_conflicts=True)
    log.error("webhook_malformed", event_id=name, error=why, alarm=True)


def _secrets(endpoint: WebhookEndpoint) -> list[str]:
    return [secret for secret in (endpoint.secret, settings.STRIPE_WEBHOOK_SECRET) if secret]


def store(events: Sequence[Json]) -> int:
    """Insert events that are not stored yet. Returns their number. Types without a handler are stored as ignored."""
    known = set(
        WebhookEvent.objects.filter(stripe_id__in=[event["id"] for event in events]).values_list(
            "stripe_id", flat=True
        )
    )
    rows = [_row(event) for event in events if event["id"] not in known]
    WebhookEvent.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _row(event: Json) -> WebhookEvent:
    subject = _subject(event)
    is_handled = event["type"] in HANDLERS
    return WebhookEvent(
        stripe_id=event["id"],
        type=event["type"],
        partition_key=partition_of(subject),
        object_id=subject.get("id") or "",
        livemode=event["livemode"],
        api_version=event.get("api_version") or "",
        payload=event,
        state=WebhookEvent.State.PENDING if is_handled else WebhookEvent.State.IGNORED,
        created_at=datetime.fromtimestamp(event["created"], UTC),
    )


def _subject(event: Json) -> Json:
    subject: Json = event["data"]["object"]
    return subject


def partition_of(subject: Json) -> str:
    """Returns the customer that an object belongs to; test clocks and the catalog have their own partitions."""
    kind = subject.get("object")
    if kind in ("customer", "test_helpers.test_clock"):
        return _id_of(subject) or CATALOG_PARTITION
    names = ["customer"]
    if kind in ("refund", "charge", "invoice_payment"):
        names += ["payment_intent", "charge", "invoice", "id"]
    return next((found for name in names if (found := _id_of(subject.get(name)))), CATALOG_PARTITION)


def _id_of(reference: Any) -> str:
    """Returns the id of a reference, expanded or not; '' if it is missing or malformed."""
    name = reference.get("id") if isinstance(reference, dict) else reference
    return name if isinstance(name, str) and len(name) <= event_payloads.LONGEST_ID else ""


def nudge(partition_key: str) -> None:
    """Wake a worker. If the message is lost, the sweep finds the events."""
    nudges.send(PROCESS_TASK, partition_key)


# --- Processing


def process_queue(partition_key: str) -> int:
    """Process the due events of a partition. Returns their number; 0 at once if another worker holds the lease.

    Checks again after releasing the lease, so that a nudge that arrived meanwhile is not lost.
    """
    me = identifiers.uuid7()
    tried: list[UUID] = []  # each event once in a run: what failed waits for the sweep
    with tenancy.system("process Stripe's events"):
        while _due(partition_key, tried).exists():
            if not _lease(partition_key, me):
                break
            try:
                while waiting := list(_due(partition_key, tried)[:BATCH]):
                    with batches.batch():
                        for event in waiting:
                            tried.append(event.pk)
                            _handle(event)
                            if not _lease(partition_key, me):
                                return len(tried)  # the lease expired and another worker took over
            finally:
                _release(partition_key, me)
    return len(tried)


def sweep() -> int:
    """Process every partition with due events, such as those that a lost nudge or a killed worker left."""
    with tenancy.system("sweep Stripe's events"):
        partition_keys = list(
            POLICY.due(WebhookEvent.objects.all())
            .order_by()
            .values_list("partition_key", flat=True)
            .distinct()
        )
    return sum(process_queue(partition_key) for partition_key in partition_keys)


def pending(partition_keys: Sequence[str]) -> bool:
    """Returns True if these partitions have unprocessed events, due or not."""
    return WebhookEvent.objects.filter(
        state=WebhookEvent.State.PENDING, partition_key__in=partition_keys
    ).exists()


def replay(event: WebhookEvent) -> bool:
    """Staff: process an event again, dead or done; effects are idempotent. Returns False if its type has no handler."""
    if event.type not in HANDLERS:
        return False
    POLICY.replay(WebhookEvent.objects.filter(pk=event.pk), last_error="")
    transaction.on_commit(lambda: nudge(event.partition_key))
    return True


def dismiss(event: WebhookEvent) -> bool:
    """Staff: give a dead letter up, so that it no longer counts as one. Returns False if it is not dead."""
    dead = WebhookEvent.objects.filter(pk=event.pk, state=WebhookEvent.State.DEAD)
    return dead.update(state=WebhookEvent.State.IGNORED) > 0


def fetch_missing(*, since: datetime) -> int:
    """List Stripe's events (kept for 30 days) and store those that never arrived. Returns their number."""
    listed = client.listed("events.list", params={"created": {"gte": int(since.timestamp())}})
    with tenancy.system("reconcile Stripe's events"):
        return sum(_store_handled(page) for page in _in_pages(listed, STORED_AT_ONCE))


class RecentEvents:
    """Polls for one customer's events without waiting for webhooks: each time those after the last one seen."""

    def __init__(self, customer: str) -> None:
        self._customer = customer
        self._newest = ""

    def fetch(self) -> int:
        """Store the events that never arrived. Returns their number."""
        with tenancy.system("poll Stripe's events"):
            return self._later() if self._newest else self._first()

    def _first(self) -> int:
        """Pages back until a page has nothing new."""
        stored = 0
        for page in _in_pages(client.listed("events.list", params={"limit": POLLED_AT_ONCE}), POLLED_AT_ONCE):
            self._newest = self._newest or page[0]["id"]
            new = self._store(page)
            if not new:
                break
            stored += new
        return stored

    def _later(self) -> int:
        stored, has_more = 0, True
        while has_more:
            page = client.call("events.list", params={"limit": 100, "ending_before": self._newest})
            has_more = page["has_more"]
            if page["data"]:
                self._newest = page["data"][0]["id"]
                stored += self._store(page["data"])
        return stored

    def _store(self, events: Sequence[Json]) -> int:
        return _store_handled([event for event in events if partition_of(_subject(event)) == self._customer])


def _store_handled(events: Sequence[Json]) -> int:
    return store([event for event in events if event["type"] in HANDLERS])


def revive(*, since: datetime) -> int:
    """Requeue the dead letters received since then; their cause may be fixed. Returns their number."""
    with tenancy.system("revive dead events"):
        dead = WebhookEvent.objects.filter(
            state=WebhookEvent.State.DEAD, received_at__gte=since, type__in=list(HANDLERS)
        )
        return POLICY.replay(dead)


def forget_old(*, now: datetime) -> int:
    """Delete processed events after KEPT_FOR. Returns their number.

    Longer than Stripe resends (days) and lists (30 days) events, so a deleted event cannot arrive again.
    """
    settled = (WebhookEvent.State.DONE, WebhookEvent.State.IGNORED)
    first = identifiers.first_at(now - KEPT_FOR)
    with tenancy.system("forget Stripe's old events"):
        return sum(
            retention.delete(WebhookEvent.objects.filter(state=state, pk__lt=first).order_by("pk"))
            for state in settled
        )


def _in_pages(events: Iterator[Json], size: int) -> Iterator[list[Json]]:
    while page := list(islice(events, size)):
        yield page


def _due(partition_key: str, tried: Sequence[UUID]) -> QuerySet[WebhookEvent]:
    return (
        POLICY.due(WebhookEvent.objects.filter(partition_key=partition_key))
        .exclude(pk__in=tried)
        .order_by("created_at", "id")
    )


def _handle(event: WebhookEvent) -> None:
    pending = WebhookEvent.objects.filter(pk=event.pk, state=WebhookEvent.State.PENDING)
    if pending.filter(attempts=event.attempts).update(attempts=event.attempts + 1):
        event.attempts += 1
        POLICY.run(event, HANDLERS[event.type], type=event.type, event_id=event.stripe_id)


def _lease(partition_key: str, me: UUID) -> bool:
    """Acquire or renew the lease of a partition. Returns False if another worker holds it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_webhooklease AS lease (partition_key, leased_until, leased_by)
            VALUES (%s, clock_timestamp() + make_interval(secs => %s), %s)
            ON CONFLICT (partition_key) DO UPDATE
            SET leased_until = excluded.leased_until, leased_by = excluded.leased_by
            WHERE lease.leased_by = excluded.leased_by OR lease.leased_until < clock_timestamp()
            RETURNING 1
            """,
            [partition_key, LEASE.total_seconds(), me],
        )
        return cursor.fetchone() is not None


def _release(partition_key: str, me: UUID) -> None:
    """Deletes only our own lease: one that expired may be another worker's by now."""
    WebhookLease.objects.filter(partition_key=partition_key, leased_by=me).delete()
