"""Overage: usage of a closed period over its allowance is invoiced once.

Each period and meter has one charge; in the end, rated = invoiced + waived. It goes on the draft
of the renewal invoice of that time; without one (months of a yearly plan, a canceled plan, a draft that
was finalized too early) on a separate invoice, or on the next one.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Sum

from accounts.models import Organization
from billing.models import Invoice, OverageCharge, Subscription
from billing.overage import invoicing
from billing.stripe import client
from metering.models import Meter, RatedLine, UsagePeriod
from metering.rating import rating
from superagent.foundation import clock, outbox, tenancy
from superagent.foundation.models import OutboxMessage

PLACE = "billing.place_overage"
DRAFT_MAY_FOLLOW = timedelta(hours=24)  # the webhook of a renewal's draft may be late by as much
RENEWAL = "subscription_cycle"

log = structlog.get_logger(__name__)


def charge(*, period: UsagePeriod, now: datetime) -> list[OverageCharge]:
    """Create the charges of a closed period, one for each meter, and enqueue their invoicing. Idempotent, rows only."""
    with tenancy.system("charge a closed period"), transaction.atomic():
        subscription = _subscription_at(period)
        lines: dict[tuple[Meter, str], list[rating.InvoiceLineDraft]] = defaultdict(list)
        for line in rating.rate(period):
            lines[line.meter, line.currency].append(line)
        for (meter, currency), of_meter in lines.items():
            amount = sum(line.amount for line in of_meter)
            if amount:
                OverageCharge.objects.get_or_create(
                    period=period,
                    meter=meter,
                    currency=currency,
                    defaults={
                        "organization_id": period.organization_id,
                        "subscription": subscription,
                        "quantity": sum(line.quantity for line in of_meter),
                        "amount": amount,
                        "description": "; ".join(line.description for line in of_meter)[:500],
                        "created_at": now,
                    },
                )
        charges = list(OverageCharge.objects.filter(period=period))
        place(organization=period.organization, now=now)
    return charges


def _subscription_at(period: UsagePeriod) -> Subscription | None:
    """Returns the plan subscription that the period belonged to: the last one that began before its end."""
    return (
        Subscription.objects.filter(organization_id=period.organization_id, started_at__lt=period.end)
        .of_plans()
        .exclude(ended_at__lt=period.end)
        .exclude(status__in=[Subscription.Status.INCOMPLETE, Subscription.Status.INCOMPLETE_EXPIRED])
        .order_by("-started_at")
        .first()
    )


def place(*, organization: Organization, now: datetime) -> int:
    """Enqueue each pending charge for an invoice; a charge whose renewal draft is still expected waits.

    Idempotent, rows only: called when a period closes, when a draft appears, and by the hourly job. Returns the
    number enqueued.
    """
    if not settings.CHARGING_ENABLED:
        return 0
    sent = 0
    with transaction.atomic():
        charges = (
            OverageCharge.objects.select_for_update(of=("self",))
            .filter(organization=organization, status=OverageCharge.Status.PENDING)
            .select_related("period", "subscription")
            .order_by("id")
        )
        for pending in charges:
            if pending.target_invoice_id or pending.is_carried_over:
                sent += _send(pending)
                continue
            draft = _renewal_draft(pending)
            if draft is not None:
                pending.target_invoice_id = draft.stripe_id
                pending.save(update_fields=["target_invoice_id"])
                sent += _send(pending)
            elif not _expects_draft(pending, now):
                sent += _send(pending)
    return sent


def _renewal_draft(pending: OverageCharge) -> Invoice | None:
    """Returns the draft of the renewal at the end of the period (or a later one, if that was missed)."""
    if pending.subscription is None:
        return None
    return (
        Invoice.objects.filter(
            subscription=pending.subscription,
            status=Invoice.Status.DRAFT,
            billing_reason=RENEWAL,
            created_at__gte=pending.period.end,
        )
        .order_by("created_at")
        .first()
    )


def _expects_draft(pending: OverageCharge, now: datetime) -> bool:
    """Returns True if the renewal's draft for this period is still expected."""
    subscription = pending.subscription
    if subscription is None or subscription.has_ended or not subscription.is_live:
        return False
    # Only a month that ends with Stripe's period: not months of a yearly plan, nor after the anchor moved.
    if pending.period.end not in (subscription.current_period_start, subscription.current_period_end):
        return False
    if subscription.cancel_at_period_end and pending.period.end >= subscription.current_period_end:
        return False
    is_known = Invoice.objects.filter(
        subscription=subscription, billing_reason=RENEWAL, created_at__gte=pending.period.end
    ).exists()
    return not is_known and now < pending.period.end + DRAFT_MAY_FOLLOW


def _send(pending: OverageCharge) -> int:
    """Enqueue the charge's message, once ever; a dead letter is replayed, which first looks for what it did before."""
    dedupe_key = item_key(pending)
    outbox.enqueue(
        topic=PLACE,
        payload={"charge": str(pending.pk)},
        dedupe_key=dedupe_key,
        organization_id=pending.organization_id,
    )
    for message in OutboxMessage.objects.filter(dedupe_key=dedupe_key, state=OutboxMessage.State.DEAD):
        outbox.replay(message)
    return 1


def item_key(charge: OverageCharge) -> str:
    """Returns Stripe's idempotency key of the charge's invoice item."""
    subscription = charge.subscription.stripe_id if charge.subscription else charge.organization_id
    return f"overage:{subscription}:{charge.period_id}:{charge.meter_id}:{charge.currency}"


def put_on_invoice(charge_id: str, *, sent_before: datetime | None = None) -> None:
    """Put a charge on its invoice, once: idempotency keys derive from the charge. Calls Stripe: not in a transaction.

    `sent_before`: an earlier try, whose keys Stripe may have forgotten; its item is looked up first.

    Raises client.Unavailable, client.ChargingDisabled.
    """
    client.require_charging()
    with tenancy.system("put overage on an invoice"):
        pending = OverageCharge.objects.select_related("subscription", "period", "organization").get(
            pk=charge_id
        )
        if pending.status != OverageCharge.Status.PENDING:
            return
        if sent_before is not None and (made := invoicing.find_item(pending, sent_before=sent_before)):
            _invoiced(pending, made)
            return
        if pending.target_invoice_id and not pending.is_carried_over:
            try:
                item = invoicing.add_item(
                    pending, invoice_id=pending.target_invoice_id, key=item_key(pending)
                )
            except client.Rejected as refusal:
                log.warning("overage_missed_its_invoice", charge=charge_id, error=refusal.detail)
                OverageCharge.objects.filter(pk=charge_id).update(is_carried_over=True)
                pending.is_carried_over = True
            else:
                _invoiced(pending, item)
                return
        _on_own_invoice(pending)


def _on_own_invoice(pending: OverageCharge) -> None:
    invoice_id = invoicing.open_for(pending)
    suffix = ":own" if pending.is_carried_over else ""
    item = invoicing.add_item(pending, invoice_id=invoice_id, key=f"{item_key(pending)}{suffix}")
    _invoiced(pending, item)


def _invoiced(pending: OverageCharge, item_id: str) -> None:
    now = clock.now(pending.organization)
    OverageCharge.objects.filter(pk=pending.pk, status=OverageCharge.Status.PENDING).update(
        status=OverageCharge.Status.INVOICED, invoice_item_id=item_id, invoiced_at=now
    )


def waive(*, charge: OverageCharge, reason: str) -> bool:
    """Staff: never invoice a pending charge. Returns False if it is enqueued or invoiced already."""
    with transaction.atomic():
        locked = OverageCharge.objects.select_for_update().get(pk=charge.pk)
        is_sent = OutboxMessage.objects.filter(
            dedupe_key=item_key(locked), state=OutboxMessage.State.PENDING
        ).exists()
        if locked.status != OverageCharge.Status.PENDING or is_sent:
            return False
        locked.status, locked.reason = OverageCharge.Status.WAIVED, reason[:300]
        locked.save(update_fields=["status", "reason"])
        return True


def place_now(charge: OverageCharge) -> bool:
    """Staff: enqueue the organization's pending charges for invoicing. Returns False if there are none."""
    return place(organization=charge.organization, now=clock.now(charge.organization)) > 0


def collect(*, now: datetime) -> int:
    """The invoice job: charge closed periods without charges, place pending charges. Returns the number of
    organizations processed. Each has its own clock, and its failure does not stop the others.
    """
    looked_at = 0
    with tenancy.system("invoice job"):
        for period in _uncharged():
            with _isolated(period.organization):
                charge(period=period, now=clock.now(period.organization))
        waiting = Organization.objects.filter(
            pk__in=OverageCharge.objects.filter(status=OverageCharge.Status.PENDING).values("organization")
        )
        for organization in waiting.iterator():
            with _isolated(organization):
                place(organization=organization, now=organization.test_clock_time or now)
                looked_at += 1
    return looked_at


@contextmanager
def _isolated(organization: Organization) -> Iterator[None]:
    try:
        yield
    except Exception:  # any failure is logged, and retried in an hour
        log.exception("overage_not_placed", organization=str(organization.pk), alarm=True)


def _uncharged() -> list[UsagePeriod]:
    """Returns closed periods with rated lines whose charges are missing: normally none."""
    charged = OverageCharge.objects.filter(
        period=OuterRef("period"), meter=OuterRef("meter"), currency=OuterRef("currency")
    )
    missing = (
        RatedLine.objects.filter(~Exists(charged))
        .order_by()
        .values("period_id", "meter_id", "currency")
        .annotate(rated=Sum("amount"))
        .exclude(rated=0)
        .values("period_id")
    )
    return list(UsagePeriod.objects.filter(pk__in=missing).select_related("organization"))


@dataclass(frozen=True, slots=True)
class Difference:
    """A period whose rated and charged amounts differ."""

    period_id: UUID
    currency: str
    rated: int
    charged: int


def differences() -> list[Difference]:
    """Returns the periods and currencies where rated is not invoiced + waived + pending."""
    rated, charged = (model._meta.db_table for model in (RatedLine, OverageCharge))
    with tenancy.system("check that rated = invoiced"), connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT period_id, currency, sum(rated)::bigint, sum(charged)::bigint
            FROM (SELECT period_id, currency, amount AS rated, 0 AS charged FROM {rated}
                  UNION ALL SELECT period_id, currency, 0, amount FROM {charged}) AS books
            GROUP BY period_id, currency HAVING sum(rated) <> sum(charged) ORDER BY period_id, currency
            """  # noqa: S608  # our own tables' names
        )
        return [Difference(*row) for row in cursor.fetchall()]
