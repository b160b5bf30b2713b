"""Rules of a subscription change: when it takes effect, and what it costs.

Upgrades take effect and are charged at once; downgrades, and shorter intervals, take effect at the end of the paid
period. So nothing paid for is lost, and nothing used is credited.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from billing.models import Interval, Plan, Price, Product, Subscription
from billing.projection import invoices
from billing.stripe.reading import Json, description, moment

MONTHS = {Interval.MONTH: 1, Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class PreviewLine:
    description: str
    amount: int
    currency: str
    is_proration: bool
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """The cost of a change: due now, and at the next renewal.

    `credit` is left over from this change for later invoices; `credit_used` is earlier credit applied to it. A change
    that is not `at_once` takes effect at `effective_at` and costs nothing before.
    """

    price: Price
    at_once: bool
    is_upgrade: bool
    amount_due: int
    credit: int
    credit_used: int
    currency: str
    lines: tuple[PreviewLine, ...]
    effective_at: datetime
    renews_at: datetime
    renewal_amount: int

    @property
    def product(self) -> Product:
        return self.price.product

    @property
    def plan(self) -> Plan | None:
        """For an API plan."""
        return self.price.plan


def is_lower(*, current: Price, target: Price) -> bool:
    """Returns True if `target` is a lower plan or tier: by rank, or by price for the same interval."""
    if target.product_id == current.product_id and target.plan_id == current.plan_id:
        return False
    if current.plan is not None and target.plan is not None and current.plan.rank != target.plan.rank:
        return target.plan.rank < current.plan.rank
    return _for_the_time_of(target, current.interval) < current.unit_amount


def _for_the_time_of(price: Price, interval: str) -> Fraction:
    """Returns the product's amount for `interval`: its own price for it, else in proportion."""
    if price.interval == interval:
        return Fraction(price.unit_amount)
    own = Price.objects.filter(
        product=price.product_id,
        plan=price.plan_id,
        interval=interval,
        currency=price.currency,
        is_active=True,
    ).first()
    if own is not None:
        return Fraction(own.unit_amount)
    return Fraction(price.unit_amount * MONTHS[Interval(interval)], MONTHS[Interval(price.interval)])


def takes_effect_at_once(*, current: Price, target: Price) -> bool:
    """Returns True for a higher plan or tier, or a longer interval of one that is not lower."""
    is_shorter = MONTHS[Interval(target.interval)] < MONTHS[Interval(current.interval)]
    return not is_shorter and not is_lower(current=current, target=target)


def later(subscription: Subscription, price: Price) -> Preview:
    """Preview of a change at the end of the period: nothing is due before."""
    return _free_of_charge(subscription, price, at=subscription.current_period_end, at_once=False)


def in_trial(subscription: Subscription, price: Price, at: datetime) -> Preview:
    """Preview of a change during a trial: the first charge is at the end of the trial."""
    return _free_of_charge(subscription, price, at=at.replace(microsecond=0), at_once=True)


def _free_of_charge(subscription: Subscription, price: Price, *, at: datetime, at_once: bool) -> Preview:
    return Preview(
        price=price,
        at_once=at_once,
        is_upgrade=_is_upgrade(subscription.price, price),
        amount_due=0,
        credit=0,
        credit_used=0,
        currency=price.currency,
        lines=(),
        effective_at=at,
        renews_at=subscription.current_period_end,
        renewal_amount=price.unit_amount,
    )


def of_invoice(invoice: Json, subscription: Subscription, price: Price, at: datetime) -> Preview:
    """Preview of an immediate change, from its upcoming or actual invoice."""
    lines = tuple(_line(line) for line in invoice["lines"]["data"])
    # Not from the credit's line, whose period may be longer than the new one.
    new_end = max((line.period_end for line in lines if not line.is_proration), default=at)
    return Preview(
        price=price,
        at_once=True,
        is_upgrade=_is_upgrade(subscription.price, price),
        amount_due=invoice["amount_due"],
        credit=max(0, -invoice["total"]),
        credit_used=max(0, invoice["total"] - invoice["amount_due"]),
        currency=invoice["currency"],
        lines=lines,
        effective_at=at.replace(microsecond=0),
        renews_at=new_end if price.interval != subscription.interval else subscription.current_period_end,
        renewal_amount=price.unit_amount,
    )


def _is_upgrade(current: Price, target: Price) -> bool:
    is_other = (target.product_id, target.plan_id) != (current.product_id, current.plan_id)
    return is_other and not is_lower(current=current, target=target)


def _line(line: Json) -> PreviewLine:
    return PreviewLine(
        description=description(line),
        amount=line["amount"],
        currency=line["currency"],
        is_proration=invoices.is_proration(line),
        period_start=moment(line["period"]["start"]),
        period_end=moment(line["period"]["end"]),
    )
