"""dj-stripe's tables: a mirror of Stripe's objects for staff. Decisions use our projection only.

Parents are written first, so that dj-stripe finds them and makes no calls itself. A failure is logged and does not
stop the work: the next change of the object writes it again.
"""

from typing import Any

import structlog
from django.apps import apps
from django.conf import settings
from django.core.checks.registry import registry
from django.db import models, transaction

from billing.stripe import client, fencing

Json = dict[str, Any]
MODELS = {
    "product": "Product",
    "price": "Price",
    "customer": "Customer",
    "payment_method": "PaymentMethod",
    "subscription": "Subscription",
    "invoice": "Invoice",
    "payment_intent": "PaymentIntent",
    "charge": "Charge",
    "refund": "Refund",
}
SERVICES = {
    "Product": "products",
    "Price": "prices",
    "Customer": "customers",
    "PaymentMethod": "payment_methods",
    "Subscription": "subscriptions",
    "Invoice": "invoices",
    "PaymentIntent": "payment_intents",
    "Charge": "charges",
    "Refund": "refunds",
}
DEEPEST = 4

log = structlog.get_logger(__name__)


def prepare() -> None:
    """At start, disable dj-stripe's storing of the secret key, its calls for features, and its webhook checks, which
    read a table that web processes may not read. Its remaining calls get our timeouts.
    """
    client.be_patient()
    from djstripe import checks
    from djstripe.models import Product
    from djstripe.models.base import StripeModel

    StripeModel._find_owner_account = classmethod(lambda cls, data, api_key=None, livemode=None: None)
    Product._sync_product_features = lambda self, api_key=None: None
    registry.registered_checks -= {checks.check_webhook_validation, checks.check_webhook_endpoint_has_secret}


def keep(fetched: Json, token: int, *, depth: int = 0) -> None:
    """Write the mirror of a fetched object unless a newer one is stored. `token` was taken before the fetch."""
    name = MODELS.get(fetched.get("object", ""))
    if name is None or fetched.get("deleted"):
        return
    model = apps.get_model("djstripe", name)
    try:
        _bring_parents(model, fetched, depth)
        with transaction.atomic():
            if fencing.accept(f"mirror:{fetched['id']}", token):
                model.sync_from_stripe_data(
                    client.as_stripe_object(_sound(fetched)), api_key=settings.STRIPE_SECRET_KEY
                )
    except Exception as error:  # noqa: BLE001 - dj-stripe fails in many ways; the projection is what counts
        log.warning("mirror_failed", object=fetched["id"], error=f"{type(error).__name__}: {error}"[:500])


def refresh(kind: str, stripe_id: str) -> None:
    """Fetch an object of `kind` (Stripe's name) and write its mirror. Ignores one that no longer exists."""
    name = MODELS[kind]
    token = fencing.next_token()
    try:
        fetched = client.call(f"{SERVICES[name]}.retrieve", stripe_id, params=_expansion(name))
    except client.StripeObjectMissing:
        return
    keep(fetched, token)


def _bring_parents(model: type[models.Model], fetched: Json, depth: int) -> None:
    if depth >= DEEPEST:
        return
    for field in model._meta.concrete_fields:
        parent = field.related_model.__name__ if field.related_model else ""
        value = fetched.get(field.name)
        if parent not in SERVICES or not value:
            continue
        if isinstance(value, dict):
            keep(value, fencing.next_token(), depth=depth + 1)
        elif not apps.get_model("djstripe", parent).objects.filter(id=value).exists():
            token = fencing.next_token()
            keep(
                client.call(f"{SERVICES[parent]}.retrieve", value, params=_expansion(parent)),
                token,
                depth=depth + 1,
            )


def _expansion(name: str) -> Json:
    fields = apps.get_model("djstripe", name).expand_fields
    return {"expand": list(fields)} if fields else {}


def _sound(fetched: Json) -> Json:
    """Removes a customer's discount, which dj-stripe cannot store."""
    return {**fetched, "discount": None} if fetched.get("object") == "customer" else fetched
