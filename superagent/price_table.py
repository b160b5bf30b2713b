"""What is on sale, as the price table shows it: one flat view of plans, allowances, prices and licenses."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from billing import plans
from billing.models import Interval, Plan, PlanAllowance, Price, Product
from licensing import policies
from superagent.foundation.templatetags.formats import money, quantity

FEATURED = "pro"


@dataclass(frozen=True, slots=True)
class AllowanceView:
    meter_name: str
    unit: str
    included: int | None
    hard: bool
    overage_text: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """Amounts are in minor units; 0 is free."""

    slug: str
    name: str
    description: str
    monthly: int
    yearly: int
    currency: str
    featured: bool
    allowances: list[AllowanceView]
    highlights: list[str]


@dataclass(frozen=True, slots=True)
class LicenseView:
    slug: str
    name: str
    monthly: int
    yearly: int
    currency: str
    features: list[tuple[str, int | None]]


def api_plans() -> list[PlanView]:
    return [_plan(plan) for plan in plans.public()]


def licenses() -> list[LicenseView]:
    """The license products that have a policy, cheapest first."""
    by_slug = policies.by_product()
    return [
        LicenseView(
            slug=product.slug,
            name=product.name,
            monthly=_amount(product.prices.all(), Interval.MONTH),
            yearly=_amount(product.prices.all(), Interval.YEAR),
            currency=_currency(product.prices.all()),
            features=[(feature.name, feature.limit) for feature in by_slug[product.slug].features.all()],
        )
        for product in plans.of_kind(Product.Kind.LICENSE)
        if product.slug in by_slug
    ]


def _plan(plan: Plan) -> PlanView:
    prices = list(plan.prices.all())
    return PlanView(
        slug=plan.slug,
        name=plan.name,
        description=plan.product.description,
        monthly=_amount(prices, Interval.MONTH),
        yearly=_amount(prices, Interval.YEAR),
        currency=_currency(prices),
        featured=plan.slug == FEATURED,
        allowances=[_allowance(row) for row in plan.allowances.all()],
        highlights=_highlights(plan),
    )


def _highlights(plan: Plan) -> list[str]:
    """The plan's sentences without those that only repeat an allowance, which has a line of its own."""
    repeated = tuple(
        f"{quantity(row.included)} " for row in plan.allowances.all() if row.included is not None
    )
    return [str(feature) for feature in plan.features if not (repeated and str(feature).startswith(repeated))]


def _allowance(row: PlanAllowance) -> AllowanceView:
    return AllowanceView(
        meter_name=row.meter.name,
        unit="" if row.meter.unit.lower() in row.meter.name.lower() else row.meter.unit,
        included=row.included,
        hard=row.is_hard,
        overage_text="" if row.is_hard or row.included is None else overage_text(row),
    )


def overage_text(row: PlanAllowance) -> str:
    """then $0.50 per 1,000: in the smallest power of ten of which the price is at least a cent."""
    units = 1
    while row.overage_rate * units < 10 and units < 1_000_000:
        units *= 10
    # People compare by the thousand and by the million.
    units = next((step for step in (1, 1_000, 1_000_000) if step >= units), units)
    amount = Decimal(row.overage_rate * units).normalize()
    return _("then %(amount)s per %(units)s") % {
        "amount": money(amount, row.currency),
        "units": quantity(units),
    }


def _amount(prices: Iterable[Price], interval: str) -> int:
    return next((price.unit_amount for price in prices if price.interval == interval), 0)


def _currency(prices: Iterable[Price]) -> str:
    return next((price.currency for price in prices), "usd")
