"""The initial catalog. Written into the database once; after that, staff own the rows."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.catalog import plans
from billing.models import BillingAccount, Interval, Plan, PlanAllowance, Price, Product
from metering.models import Meter
from superagent.foundation import clock, tenancy


@dataclass(frozen=True, slots=True)
class SeedAllowance:
    """`included` None is unlimited; `rate` is cents for each unit over it."""

    meter: str
    included: int | None
    is_hard: bool = False
    rate: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class SeedProduct:
    """Prices are cents of a US dollar; `rank` and what follows is for API plans."""

    slug: str
    name: str
    kind: str
    description: str
    monthly: int
    yearly: int
    rank: int = 0
    features: tuple[str, ...] = ()
    allowances: tuple[SeedAllowance, ...] = field(default=())


CURRENCY = "usd"


def _cents(amount: str, units: int) -> Decimal:
    """Cents for one unit, from dollars for many."""
    return Decimal(amount) * 100 / units


PRODUCTS = (
    SeedProduct(
        slug="free",
        name="Free",
        kind=Product.Kind.API_PLAN,
        description="For trying out the API.",
        monthly=0,
        yearly=0,
        rank=0,
        features=(
            "1,000 API requests a month",
            "10,000 AI tokens a month",
            "Stops at the limit, never bills you",
        ),
        allowances=(
            SeedAllowance("api_requests", 1_000, is_hard=True),
            SeedAllowance("ai_tokens", 10_000, is_hard=True),
            SeedAllowance("storage_mb_hours", None),
        ),
    ),
    SeedProduct(
        slug="pro",
        name="Pro",
        kind=Product.Kind.API_PLAN,
        description="For products in production.",
        monthly=2_900,
        yearly=29_000,
        rank=10,
        features=(
            "50,000 API requests a month, then $0.50 per 1,000",
            "1,000,000 AI tokens a month, then $2.00 per million",
            "Keeps working past the limit (billed)",
            "Support by email",
        ),
        allowances=(
            SeedAllowance("api_requests", 50_000, rate=_cents("0.50", 1_000)),
            SeedAllowance("ai_tokens", 1_000_000, rate=_cents("2.00", 1_000_000)),
            SeedAllowance("storage_mb_hours", None),
        ),
    ),
    SeedProduct(
        slug="enterprise",
        name="Enterprise",
        kind=Product.Kind.API_PLAN,
        description="For high volume, with the lowest rates.",
        monthly=29_900,
        yearly=299_000,
        rank=20,
        features=(
            "1,000,000 API requests a month, then $0.30 per 1,000",
            "20,000,000 AI tokens a month, then $1.50 per million",
            "Keeps working past the limit (billed)",
            "Priority support",
        ),
        allowances=(
            SeedAllowance("api_requests", 1_000_000, rate=_cents("0.30", 1_000)),
            SeedAllowance("ai_tokens", 20_000_000, rate=_cents("1.50", 1_000_000)),
            SeedAllowance("storage_mb_hours", None),
        ),
    ),
    SeedProduct(
        slug="nextpanel-starter",
        name="NextPanel Starter",
        kind=Product.Kind.LICENSE,
        description="10 databases, 5 domains, 20 email accounts.",
        monthly=900,
        yearly=9_000,
    ),
    SeedProduct(
        slug="nextpanel-professional",
        name="NextPanel Professional",
        kind=Product.Kind.LICENSE,
        description="50 databases, 25 domains, 100 email accounts.",
        monthly=1_900,
        yearly=19_000,
    ),
    SeedProduct(
        slug="nextpanel-business",
        name="NextPanel Business",
        kind=Product.Kind.LICENSE,
        description="500 databases, 250 domains, 1,000 email accounts.",
        monthly=4_900,
        yearly=49_000,
    ),
)


@transaction.atomic
def write() -> int:
    """Create missing products; rows that staff changed stay. Returns the number created."""
    added = 0
    for position, product in enumerate(PRODUCTS):
        row, is_new = Product.objects.get_or_create(
            slug=product.slug,
            defaults={
                "name": product.name,
                "kind": product.kind,
                "description": product.description,
                "position": position,
            },
        )
        if is_new:
            added += 1
            _seed_prices(row, product, _seed_plan(row, product))
    return added


def _seed_plan(row: Product, product: SeedProduct) -> Plan | None:
    if product.kind != Product.Kind.API_PLAN:
        return None
    plan = Plan.objects.create(
        product=row, rank=product.rank, features=list(product.features), is_published=True
    )
    for allowance in product.allowances:
        PlanAllowance.objects.create(
            plan=plan,
            meter=Meter.objects.get(slug=allowance.meter),
            included=allowance.included,
            is_hard=allowance.is_hard,
            overage_rate=allowance.rate,
            currency=CURRENCY,
        )
    return plan


def _seed_prices(row: Product, product: SeedProduct, plan: Plan | None) -> None:
    for interval, amount in ((Interval.MONTH, product.monthly), (Interval.YEAR, product.yearly)):
        Price.objects.create(product=row, plan=plan, interval=interval, currency=CURRENCY, unit_amount=amount)


def give_everyone_a_plan(*, now: datetime) -> int:
    """Give the free plan to organizations that signed up before the catalog existed. Returns their number."""
    with tenancy.system("seed the catalog"):
        waiting = list(BillingAccount.objects.filter(plan__isnull=True).select_related("organization"))
        for account in waiting:
            plans.apply_current_plan(organization=account.organization, now=clock.now(account.organization))
    return len(waiting)
