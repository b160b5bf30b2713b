"""The inbox of Stripe's events: stored by id, answered at once, worked off lane by lane.

The row is the queue; Celery is only nudged. Each customer is a lane, worked off in the order of `created` by one worker
at a time, under a lease that ends by itself when the worker is killed. An event that fails backs off alone and does not
block its lane, for as long as it takes; only what can never work is a dead letter, which staff may replay and the
nightly reconciliation tries once more.
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
from django.utils import timezone

from billing.models import WebhookEndpoint, WebhookEvent, WebhookLane
from billing.stripe import client, event_payloads
from superagent.foundation import identifiers, nudges, retention, tenancy
from superagent.foundation.retries import RetryPolicy

LEASE = timedelta(seconds=45)
POLICY = RetryPolicy("webhook", longest_backoff=timedelta(minutes=15))
LANE_OF_CATALOG = "catalog"
MALFORMED = "malformed"
DRAIN = "billing.tasks.drain_lane"
RECENT_EVENTS = 20
KEPT_FOR = timedelta(days=45)

Handler = Callable[[WebhookEvent], None]
Json = dict[str, Any]
HANDLERS: dict[str, Handler] = {}
"""Filled by billing.webhook_handlers when the app starts."""

log = structlog.get_logger(__name__)


class Unacceptable(Exception):
    """A delivery that is answered 400: not signed by Stripe, too old, from another mode or another API version."""


def handles(*types: str) -> Callable[[Handler], Handler]:
    """Register the one function for events of `types`; it may run twice, and outside of a transaction."""

    def register(function: Handler) -> Handler:
        for each in types:
            HANDLERS[each] = function
        return function

    return register


def receive(*, endpoint: WebhookEndpoint, payload: bytes, signature: str) -> str | None:
    """Store a delivery; answers the lane to nudge, None if there is nothing to do. Raises Unacceptable.

    What was signed and cannot be read is stored as a dead letter. No call to Stripe, no queue.
    """
    try:
        client.verify_signature(payload=payload.decode(), header=signature, secrets=_secrets(endpoint))
    except (client.BadSignature, ValueError) as error:
        raise Unacceptable(f"The signature is not valid: {error}.") from error
    try:
        event = event_payloads.parse(payload)
    except event_payloads.Malformed as error:
        _bury(payload, str(error))
        return None
    if event["livemode"] != settings.STRIPE_LIVE_MODE:
        raise Unacceptable("The event is of another mode (live or test) than this installation.")
    if event.get("api_version") != client.API_VERSION:
        raise Unacceptable(f"The event is of another API version than {client.API_VERSION}.")
    is_new = store([event]) > 0
    return lane_of(event["data"]["object"]) if is_new and event["type"] in HANDLERS else None


def _bury(payload: bytes, why: str) -> None:
    """Kept once, for people."""
    name = f"malformed:{hashlib.sha256(payload).hexdigest()}"
    now = timezone.now()
    letter = WebhookEvent(
        stripe_id=name,
        type=MALFORMED,
        lane=MALFORMED,
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
    """Write events that are not known yet; answers how many. Types that nobody handles are kept as ignored."""
    known = set(
        WebhookEvent.objects.filter(stripe_id__in=[event["id"] for event in events]).values_list(
            "stripe_id", flat=True
        )
    )
    rows = [_row(event) for event in events if event["id"] not in known]
    WebhookEvent.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _row(event: Json) -> WebhookEvent:
    subject = event["data"]["object"]
    is_handled = event["type"] in HANDLERS
    return WebhookEvent(
        stripe_id=event["id"],
        type=event["type"],
        lane=lane_of(subject),
        object_id=subject.get("id") or "",
        livemode=event["livemode"],
        api_version=event.get("api_version") or "",
        payload=event,
        state=WebhookEvent.State.PENDING if is_handled else WebhookEvent.State.IGNORED,
        created_at=datetime.fromtimestamp(event["created"], UTC),
    )


def lane_of(subject: Json) -> str:
    """The customer that an object belongs to; clocks and the catalog have lanes of their own."""
    kind = subject.get("object")
    if kind in ("customer", "test_helpers.test_clock"):
        return _id_of(subject) or LANE_OF_CATALOG
    names = ["customer"]
    if kind in ("refund", "charge", "invoice_payment"):
        names += ["payment_intent", "charge", "invoice", "id"]
    return next((found for name in names if (found := _id_of(subject.get(name)))), LANE_OF_CATALOG)


def _id_of(reference: Any) -> str:
    """Of a reference, expanded or not; '' for none, and for what is none."""
    name = reference.get("id") if isinstance(reference, dict) else reference
    return name if isinstance(name, str) and len(name) <= event_payloads.LONGEST_ID else ""


def nudge(lane: str) -> None:
    """Tell a worker; the sweeper comes anyway."""
    nudges.send(DRAIN, lane)


# --- Working off


def drain(lane: str) -> int:
    """Work off what is due in a lane; answers how many events. Returns at once if another worker is at it.

    After the lane is released it is looked at again: a nudge that met the lease is not lost.
    """
    me = identifiers.uuid7()
    tried: list[UUID] = []  # each once: what fails again and again waits for the sweeper
    with tenancy.system("work off Stripe's events"):
        while _next(lane, tried) is not None:
            if not _lease(lane, me):
                break
            try:
                while (event := _next(lane, tried)) is not None:
                    tried.append(event.pk)
                    _handle(event)
                    if not _lease(lane, me):
                        return len(tried)  # it took so long that another worker goes on
            finally:
                _release(lane, me)
    return len(tried)


def sweep() -> int:
    """Every lane with events that are due: those that a lost nudge or a killed worker left."""
    with tenancy.system("sweep Stripe's events"):
        lanes = list(
            POLICY.due(WebhookEvent.objects.all()).order_by().values_list("lane", flat=True).distinct()
        )
    return sum(drain(lane) for lane in lanes)


def pending(lanes: Sequence[str]) -> bool:
    """Is anything of these lanes still to be worked off, due or not?"""
    return WebhookEvent.objects.filter(state=WebhookEvent.State.PENDING, lane__in=lanes).exists()


def replay(event: WebhookEvent) -> bool:
    """Staff: try an event again, dead or done. Its effects have keys, so that nothing happens twice.

    False for a type that nobody handles.
    """
    if event.type not in HANDLERS:
        return False
    POLICY.replay(WebhookEvent.objects.filter(pk=event.pk), last_error="")
    transaction.on_commit(lambda: nudge(event.lane))
    return True


def dismiss(event: WebhookEvent) -> bool:
    """Staff: nothing will mend it, and it is to count as a dead letter no more. False if it is not dead."""
    dead = WebhookEvent.objects.filter(pk=event.pk, state=WebhookEvent.State.DEAD)
    return dead.update(state=WebhookEvent.State.IGNORED) > 0


def fetch_missing(*, since: datetime | None = None, lanes: Sequence[str] = ()) -> int:
    """Ask Stripe which events there were and store those that never arrived (Stripe keeps 30 days); answers how many.

    Without `since` it goes back until a page of events is known already. `lanes` limits what is stored.
    """
    params = {"created": {"gte": int(since.timestamp())}} if since else {"limit": RECENT_EVENTS}
    stored = 0
    with tenancy.system("reconcile Stripe's events"):
        for page in _in_pages(client.listed("events.list", params=params), RECENT_EVENTS):
            wanted = [
                event
                for event in page
                if event["type"] in HANDLERS and (not lanes or lane_of(event["data"]["object"]) in lanes)
            ]
            new = store(wanted)
            stored += new
            if since is None and not new:
                break
    return stored


def revive(*, since: datetime) -> int:
    """Try once more what died since then: its cause may have been mended. If not, it dies again. Answers how many."""
    with tenancy.system("revive dead events"):
        dead = WebhookEvent.objects.filter(
            state=WebhookEvent.State.DEAD, received_at__gte=since, type__in=list(HANDLERS)
        )
        return POLICY.replay(dead)


def forget_old(*, now: datetime) -> int:
    """Delete events that are settled and came longer ago than they are kept; answers how many.

    Stripe resends for days and lists events for thirty: what is deleted cannot come again.
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


def _next(lane: str, tried: Sequence[UUID]) -> WebhookEvent | None:
    return (
        POLICY.due(WebhookEvent.objects.filter(lane=lane))
        .exclude(pk__in=tried)
        .order_by("created_at", "id")
        .first()
    )


def _handle(event: WebhookEvent) -> None:
    pending = WebhookEvent.objects.filter(pk=event.pk, state=WebhookEvent.State.PENDING)
    if pending.filter(attempts=event.attempts).update(attempts=event.attempts + 1):
        event.attempts += 1
        POLICY.run(event, HANDLERS[event.type], type=event.type, event_id=event.stripe_id)


def _lease(lane: str, me: UUID) -> bool:
    """Take the lane, or go on having it, unless somebody else has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_webhooklane AS lane (name, leased_until, leased_by)
            VALUES (%s, clock_timestamp() + make_interval(secs => %s), %s)
            ON CONFLICT (name) DO UPDATE SET leased_until = excluded.leased_until, leased_by = excluded.leased_by
            WHERE lane.leased_by = excluded.leased_by OR lane.leased_until < clock_timestamp()
            RETURNING 1
            """,
            [lane, LEASE.total_seconds(), me],
        )
        return cursor.fetchone() is not None


def _release(lane: str, me: UUID) -> None:
    """Only what is one's own: a lease that ran out may be another worker's by now."""
    WebhookLane.objects.filter(name=lane, leased_by=me).delete()
