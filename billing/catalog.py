"""The catalog: written into the database once, kept in step with Stripe from then on. All of it may be repeated."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from billing import gateway, plans, seed_catalog
from billing.models import BillingAccount, Interval, Plan, PlanAllowance, Price, Product
from metering.models import Meter
from superagent.foundation import clock, tenancy

MARK = {"made_by": "superagent"}
PUSH = "billing.push_catalog"


@dataclass(frozen=True, slots=True)
class Synced:
    products: int
    prices: int


@transaction.atomic
def seed() -> int:
    """Write the products that are not there yet; what staff changed stays. Answers how many are new."""
    for meter in seed_catalog.METERS:
        Meter.objects.get_or_create(
            slug=meter.slug,
            defaults={
                "name": meter.name,
                "unit": meter.unit,
                "event_name": meter.event_name,
                "value_property": meter.value_property,
            },
        )
    added = 0
    for position, product in enumerate(seed_catalog.PRODUCTS):
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


def _seed_plan(row: Product, product: seed_catalog.SeedProduct) -> Plan | None:
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
            currency=seed_catalog.CURRENCY,
        )
    return plan


def _seed_prices(row: Product, product: seed_catalog.SeedProduct, plan: Plan | None) -> None:
    for interval, amount in ((Interval.MONTH, product.monthly), (Interval.YEAR, product.yearly)):
        Price.objects.create(
            product=row, plan=plan, interval=interval, currency=seed_catalog.CURRENCY, unit_amount=amount
        )


def give_everyone_a_plan(*, now: datetime) -> int:
    """Organizations that signed up before the catalog was there get the free plan; answers how many."""
    with tenancy.system("seed the catalog"):
        waiting = list(BillingAccount.objects.filter(plan__isnull=True).select_related("organization"))
        for account in waiting:
            plans.put_in_force(organization=account.organization, now=clock.now(account.organization))
    return len(waiting)


def push() -> Synced:
    """Create at Stripe what is not there, found by our id or lookup key, and update names. Calls Stripe."""
    products = list(Product.objects.order_by("kind", "position"))
    for product in products:
        _push_product(product)
    paid = list(
        Price.objects.filter(unit_amount__gt=0).select_related("product", "plan").order_by("is_active", "id")
    )
    keys = _lookup_keys(paid)
    known = _known_prices(list(keys.values()))
    for price in paid:
        _push_price(price, keys[price.pk], known.get(keys[price.pk]))
    return Synced(len(products), len(paid))


def _push_product(product: Product) -> None:
    wanted: dict[str, Any] = {
        "name": product.name,
        "active": product.is_active,
        "metadata": MARK | {"slug": product.slug, "kind": product.kind},
    }
    if product.description:
        wanted["description"] = product.description
    stripe_id = f"superagent_{product.slug}"  # products may be given an id, which makes them findable
    try:
        found = gateway.call("products.retrieve", stripe_id)
    except gateway.Gone:
        gateway.call("products.create", key=f"product:{product.pk}", params=wanted | {"id": stripe_id})
    else:
        if any(
            found.get(name) != wanted[name] for name in ("name", "active", "description") if name in wanted
        ):
            gateway.call("products.update", stripe_id, params=wanted)
    if product.stripe_id != stripe_id:
        Product.objects.filter(pk=product.pk).update(stripe_id=stripe_id)
        product.stripe_id = stripe_id


def _lookup_keys(prices: list[Price]) -> dict[UUID, str]:
    """What finds each price at Stripe. An amount that comes back after another one is a new price: its key is numbered.

    Prices are never deleted, nor changed once they are known to Stripe, so that the numbers stay.
    """
    seen: Counter[str] = Counter()
    keys = {}
    for price in sorted(prices, key=lambda price: price.pk):
        key = price.lookup_key
        seen[key] += 1
        keys[price.pk] = key if seen[key] == 1 else f"{key}_{seen[key]}"
    return keys


def _known_prices(keys: list[str]) -> dict[str, dict[str, Any]]:
    """Stripe's prices by lookup key; ten keys may be asked for at a time."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(keys), 10):
        for price in gateway.listed("prices.list", params={"lookup_keys": keys[start : start + 10]}):
            found[price["lookup_key"]] = price
    return found


def _push_price(price: Price, lookup_key: str, found: dict[str, Any] | None) -> None:
    if found is None:
        params: dict[str, Any] = {
            "product": f"superagent_{price.product.slug}",
            "currency": price.currency,
            "unit_amount": price.unit_amount,
            "lookup_key": lookup_key,
            "active": price.is_active,
            "metadata": MARK | {"price": str(price.pk)},
        }
        if price.interval != Interval.ONCE:
            params["recurring"] = {"interval": price.interval}
        found = gateway.call("prices.create", key=f"price:{price.pk}", params=params)
    elif found["active"] != price.is_active:
        gateway.call("prices.update", found["id"], params={"active": price.is_active})
    if price.stripe_id != found["id"]:
        Price.objects.filter(pk=price.pk).update(stripe_id=found["id"])


@transaction.atomic
def publish(plan: Plan) -> None:
    """Put a version of a plan on sale in place of the one before; who has that one keeps it."""
    Product.objects.select_for_update().get(pk=plan.product_id)
    Plan.objects.filter(product=plan.product_id, is_published=True).exclude(pk=plan.pk).update(
        is_published=False
    )
    Price.objects.filter(product=plan.product_id, is_active=True).exclude(plan=plan).update(is_active=False)
    Plan.objects.filter(pk=plan.pk).update(is_published=True)
    Price.objects.filter(plan=plan).update(is_active=True)


@transaction.atomic
def new_version(plan: Plan) -> Plan:
    """A copy of `plan` to edit and then publish: next version, same allowances and prices, not on sale yet."""
    Product.objects.select_for_update().get(pk=plan.product_id)
    latest = Plan.objects.filter(product=plan.product_id).aggregate(latest=Max("version"))["latest"]
    copy = Plan.objects.create(
        product=plan.product,
        version=latest + 1,
        rank=plan.rank,
        features=plan.features,
        trial_days=plan.trial_days,
    )
    for allowance in plan.allowances.all():
        PlanAllowance.objects.create(
            plan=copy,
            meter=allowance.meter,
            included=allowance.included,
            is_hard=allowance.is_hard,
            overage_rate=allowance.overage_rate,
            currency=allowance.currency,
        )
    for price in plan.prices.filter(is_active=True):
        Price.objects.create(
            product=plan.product,
            plan=copy,
            interval=price.interval,
            currency=price.currency,
            unit_amount=price.unit_amount,
            is_active=False,
        )
    return copy
