"""Plans for a pricing table, and what choosing one does for an organization."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from django.utils.translation import gettext as _

from accounts.models import Organization
from billing.catalog import plans
from billing.models import Interval, Plan, PlanAllowance, Price
from superagent.foundation.money import rate_text
from superagent.foundation.templatetags.formats import money

FEATURED = "pro"


@dataclass(frozen=True, slots=True)
class AllowanceOffer:
    """`overage_text` is like "then $0.50 per 1,000"; empty without overage. `unit` is empty
    where the name says it: 50,000 API requests."""

    meter_name: str
    unit: str
    included: int | None
    hard: bool
    overage_text: str


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """`monthly` and `yearly` are minor units; None when it is not sold at that interval."""

    slug: str
    name: str
    description: str
    rank: int
    trial_days: int
    currency: str
    monthly: int | None
    yearly: int | None
    allowances: tuple[AllowanceOffer, ...]
    highlights: tuple[str, ...]
    featured: bool

    def amount(self, interval: str) -> int | None:
        return self.yearly if interval == Interval.YEAR else self.monthly


class Action(StrEnum):
    """What a plan's button does: first purchase, change, cancellation, or nothing."""

    BUY = "buy"
    CHANGE = "change"
    CANCEL = "cancel"
    CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan at an interval, for one organization. `amount` is in minor units, None where it is not sold."""

    offer: PlanOffer
    interval: str
    amount: int | None
    action: Action
    is_upgrade: bool
    is_other_interval: bool

    @property
    def is_current(self) -> bool:
        return self.action == Action.CURRENT


def choices(*, organization: Organization, interval: str) -> list[Choice]:
    """Returns every plan on sale, lowest rank first, with its action. Runs in the organization's scope."""
    current = plans.current_plan(organization)
    subscription = plans.subscription_of(organization)
    paid_interval = subscription.interval if subscription is not None else None
    return [_choice(offer, interval, current, paid_interval) for offer in plan_offers()]


def _choice(offer: PlanOffer, interval: str, current: Plan | None, paid_interval: str | None) -> Choice:
    amount = offer.amount(interval)
    is_current_plan = current is not None and current.slug == offer.slug
    if is_current_plan and paid_interval in (None, interval):
        action = Action.CURRENT
    elif paid_interval is None:
        action = Action.BUY if amount else Action.CURRENT
    else:
        action = Action.CHANGE if amount else Action.CANCEL
    return Choice(
        offer=offer,
        interval=interval,
        amount=amount,
        action=action,
        is_upgrade=offer.rank > (current.rank if current is not None else 0),
        is_other_interval=is_current_plan and action != Action.CURRENT,
    )


def plan_offers() -> list[PlanOffer]:
    """Returns the plans on sale, lowest rank first, in three queries."""
    return [_offer(plan) for plan in plans.on_sale()]


def _offer(plan: Plan) -> PlanOffer:
    prices = {price.interval: price for price in plan.prices.all()}
    monthly, yearly = prices.get(Interval.MONTH), prices.get(Interval.YEAR)
    first = monthly or yearly
    return PlanOffer(
        slug=plan.slug,
        name=plan.name,
        description=plan.product.description,
        rank=plan.rank,
        trial_days=plan.trial_days,
        currency=first.currency if first else "usd",
        monthly=monthly.unit_amount if monthly else None,
        yearly=yearly.unit_amount if yearly else None,
        allowances=tuple(_allowance(row) for row in plan.allowances.all()),
        highlights=_highlights(plan),
        featured=plan.slug == FEATURED,
    )


def _highlights(plan: Plan) -> tuple[str, ...]:
    """Returns the plan's highlights without those that repeat an allowance, which has its own line."""
    repeated = tuple(f"{row.included:,} " for row in plan.allowances.all() if row.included is not None)
    return tuple(feature for feature in plan.features if not (repeated and str(feature).startswith(repeated)))


def _allowance(row: PlanAllowance) -> AllowanceOffer:
    billed = row.included is not None and not row.is_hard and row.overage_rate
    return AllowanceOffer(
        meter_name=row.meter.name,
        unit="" if row.meter.name.lower().endswith(row.meter.unit.lower()) else row.meter.unit,
        included=row.included,
        hard=row.is_hard,
        overage_text=overage_text(row.overage_rate, row.currency) if billed else "",
    )


def overage_text(rate: Decimal, currency: str) -> str:
    return _("then %(price)s") % {"price": rate_text(rate, currency)}


def per_period(price: Price) -> str:
    """Returns the price of a subscription as text: `$49.00 a month`."""
    every = _("a year") if price.interval == Interval.YEAR else _("a month")
    return f"{money(price.unit_amount, price.currency)} {every}"
