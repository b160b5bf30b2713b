"""Sync the catalog to Stripe. Idempotent."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from billing.models import Interval, Price, Product
from billing.stripe import client

MARK = {"made_by": "superagent"}
PUSH = "billing.push_catalog"


@dataclass(frozen=True, slots=True)
class Synced:
    products: int
    prices: int


def push() -> Synced:
    """Create missing products and prices at Stripe (found by our id or lookup key) and update names. Calls Stripe."""
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
        found = client.call("products.retrieve", stripe_id)
    except client.StripeObjectMissing:
        client.call("products.create", key=f"product:{product.pk}", params=wanted | {"id": stripe_id})
    else:
        if any(
            found.get(name) != wanted[name] for name in ("name", "active", "description") if name in wanted
        ):
            client.call("products.update", stripe_id, params=wanted)
    if product.stripe_id != stripe_id:
        Product.objects.filter(pk=product.pk).update(stripe_id=stripe_id)
        product.stripe_id = stripe_id


def _lookup_keys(prices: list[Price]) -> dict[UUID, str]:
    """Returns the lookup key of each price. An amount that returns after another is a new price with a numbered key.

    The numbers are stable: prices are never deleted, nor changed once they are at Stripe.
    """
    seen: Counter[str] = Counter()
    keys = {}
    for price in sorted(prices, key=lambda price: price.pk):
        key = price.lookup_key
        seen[key] += 1
        keys[price.pk] = key if seen[key] == 1 else f"{key}_{seen[key]}"
    return keys


def _known_prices(keys: list[str]) -> dict[str, dict[str, Any]]:
    """Returns Stripe's prices by lookup key; Stripe allows ten keys a request."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(keys), 10):
        for price in client.listed("prices.list", params={"lookup_keys": keys[start : start + 10]}):
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
        found = client.call("prices.create", key=f"price:{price.pk}", params=params)
    elif found["active"] != price.is_active:
        client.call("prices.update", found["id"], params={"active": price.is_active})
    if price.stripe_id != found["id"]:
        Price.objects.filter(pk=price.pk).update(stripe_id=found["id"])
