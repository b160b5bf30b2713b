"""Rating: what use beyond the allowance costs. Exact, rounded once, at the line, down.

Use is rated by the terms under which it was used: after a change of plan in the middle of a period each part has the
terms of its time. What came late for a closed period, or was taken back, is rated with the next one, as the difference
to all that was rated of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from django.db.models import F, Prefetch, Q, QuerySet
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from metering.models import FormerTerms, Meter, Quota, RatedLine, UsagePeriod
from metering.rating import counting
from superagent.foundation.money import rate_text, round_down

DATE = "M j, Y"
MAX_AMOUNT = 2**53 - 1
"""Minor units of one line at most: exact in JSON."""
PRECISION = 40
"""Digits of a product: 16 of a quantity, 20 of a rate."""


@dataclass(frozen=True, slots=True)
class InvoiceLineDraft:
    """`quantity` units beyond the allowance for `amount` minor units; both negative when use was taken back."""

    meter: Meter
    quantity: int
    amount: int
    currency: str
    description: str


@dataclass(frozen=True, slots=True)
class Part:
    """The terms of a quota for the units after the previous part's, up to `until`."""

    until: int
    included: int | None
    is_hard: bool
    rate: Decimal
    currency: str


Price = tuple[Decimal, str]
"""A rate and its currency."""


def overage(parts: Sequence[Part]) -> dict[Price, int]:
    """How many units are charged at each price. Units of a hard or unlimited part, or within its allowance, are not."""
    charged: dict[Price, int] = defaultdict(int)
    before = 0
    for part in parts:
        until = max(before, part.until)
        if part.included is not None and not part.is_hard and part.rate:
            beyond = until - max(before, part.included)
            if beyond > 0:
                charged[part.rate, part.currency] += beyond
        before = until
    return dict(charged)


def amount(quantity: int, rate: Decimal) -> int:
    """Whole minor units for `quantity` units, rounded down; MAX_AMOUNT at most, which counting keeps from being reached
    (`most_units`)."""
    with localcontext(prec=PRECISION):
        return max(-MAX_AMOUNT, min(MAX_AMOUNT, round_down(quantity * rate)))


def most_units(quota: Quota) -> int:
    """What a usage period may count of this quota, so that its price is a number that everybody can bear."""
    if quota.is_hard or quota.included is None or quota.overage_rate <= 1:
        return counting.MAX_TOTAL
    return int(MAX_AMOUNT // quota.overage_rate)


def rate(period: UsagePeriod) -> list[InvoiceLineDraft]:
    """The lines of a closed period: its overage, and adjustments for earlier periods. The same at every call."""
    lines = (
        RatedLine.objects.filter(period=period)
        .select_related("meter", "about")
        .order_by("about__start", "id")
    )
    return [
        InvoiceLineDraft(
            meter=line.meter,
            quantity=line.quantity,
            amount=line.amount,
            currency=line.currency,
            description=describe(line),
        )
        for line in lines
    ]


def describe(line: RatedLine) -> str:
    """The text of an invoice line: what, how many, at which rate, and when it was used."""
    dates = f"{date_format(line.about.start, DATE)} – {date_format(line.about.end, DATE)}"
    facts = {
        "meter": line.meter.name,
        "quantity": f"{line.quantity:,}",
        "unit": line.meter.unit,
        "rate": rate_text(line.rate, line.currency),
        "dates": dates,
    }
    if line.kind == RatedLine.Kind.ADJUSTMENT:
        return _("%(meter)s: %(quantity)s %(unit)s counted late, %(rate)s (%(dates)s)") % facts
    return _("%(meter)s: %(quantity)s %(unit)s over the included amount, %(rate)s (%(dates)s)") % facts


def accrued(quota: Quota, used: int) -> dict[Price, int]:
    """What `quota` would be charged for if its period were closed with `used`; prefetch `former_terms` for a list."""
    return overage(_parts(quota, used))


def lock(period: UsagePeriod) -> None:
    """Lock what `write_lines` will read, all at once in the order of ids, as everyone does who counts."""
    rows = Quota.objects.filter(Q(period=period) | _is_late(period)).order_by("id")
    list(rows.select_for_update(no_key=True).values_list("pk", flat=True))


def cap(quota: Quota, *, included: int) -> None:
    """Let the whole period include no more than that: what was used beyond it, under former terms too, is overage.

    In the transaction that holds the quota's lock.
    """
    quota.former_terms.filter(included__gt=included).update(included=included)
    if quota.included is None or quota.included > included:
        quota.included = included
        quota.save(update_fields=["included"])


def write_lines(*, period: UsagePeriod, now: datetime) -> None:
    """Rate a period that is being closed; called once, in the transaction that closes it."""
    lines = []
    for quota in _quotas().filter(period=period):
        for price, quantity in overage(_parts(quota, quota.used)).items():
            lines.append(
                _line(period, quota, RatedLine.Kind.OVERAGE, price, quantity, amount(quantity, price[0]), now)
            )
    for quota in _quotas().filter(_is_late(period)):
        lines += _adjustments(period, quota, now)
        quota.late_rated, quota.has_unrated_use = quota.late_quantity, False
        quota.save(update_fields=["late_rated", "has_unrated_use"])
    RatedLine.objects.bulk_create(lines)


def _adjustments(period: UsagePeriod, quota: Quota, now: datetime) -> list[RatedLine]:
    """What a closed period costs by now, less all that was rated of it so far."""
    quantities: dict[Price, int] = defaultdict(int)
    amounts: dict[Price, int] = defaultdict(int)
    for line in RatedLine.objects.filter(about=quota.period_id, meter=quota.meter_id):
        quantities[line.rate, line.currency] += line.quantity
        amounts[line.rate, line.currency] += line.amount
    due = overage(_parts(quota, quota.total))
    lines = []
    for price in sorted(quantities.keys() | due.keys()):
        quantity = due.get(price, 0) - quantities[price]
        if quantity:
            difference = amount(due.get(price, 0), price[0]) - amounts[price]
            lines.append(_line(period, quota, RatedLine.Kind.ADJUSTMENT, price, quantity, difference, now))
    return lines


def _is_late(period: UsagePeriod) -> Q:
    unrated = Q(has_unrated_use=True) | ~Q(late_quantity=F("late_rated"))
    return Q(organization_id=period.organization_id, is_closed=True) & unrated


def _quotas() -> QuerySet[Quota]:
    return Quota.objects.select_related("period", "meter").prefetch_related(
        Prefetch("former_terms", FormerTerms.objects.order_by("replaced_at", "id"))
    )


def _parts(quota: Quota, until: int) -> list[Part]:
    former = [
        Part(min(terms.used_until, until), terms.included, terms.is_hard, terms.overage_rate, terms.currency)
        for terms in quota.former_terms.all()
    ]
    present = Part(until, quota.included, quota.is_hard, quota.overage_rate, quota.currency)
    return [*former, present]


def _line(
    period: UsagePeriod, quota: Quota, kind: str, price: Price, quantity: int, charge: int, now: datetime
) -> RatedLine:
    return RatedLine(
        organization_id=period.organization_id,
        period=period,
        about_id=quota.period_id,
        meter_id=quota.meter_id,
        kind=kind,
        quantity=quantity,
        rate=price[0],
        amount=charge,
        currency=price[1],
        rated_at=now,
    )
