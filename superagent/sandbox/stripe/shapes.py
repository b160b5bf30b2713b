"""Objects in the shapes of the pinned API version, built from the stripe library's own resource classes.

`build` fills every nullable field with null, refuses a field that the class does not have and one that is missing,
so an emitted object cannot drift from the library.
"""

import typing
from functools import cache
from typing import Any

import stripe

# Fields that Stripe leaves out of an answer unless they are expanded or the object is deleted.
LEFT_OUT = {
    "account": {"deleted", "groups", "individual", "company", "tos_acceptance", "external_accounts"},
    "charge": {"level3", "refunds", "transfer", "presentment_details", "authorization_code"},
    "checkout.session": {"line_items", "managed_payments", "presentment_details", "optional_items"},
    "coupon": {"applies_to", "currency_options", "deleted"},
    "customer": {
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
        "cash_balance",
        "invoice_credit_balance",
        "deleted",
        "business_name",
        "individual_name",
    },
    "discount": {"deleted"},
    "event": {"account", "context"},
    "invoice": {
        "confirmation_secret",
        "payments",
        "threshold_reason",
        "amount_paid_off_stripe",
        "deleted",
        "total_pretax_credit_amounts",
    },
    "invoiceitem": {"deleted"},
    "line_item": {"pretax_credit_amounts"},
    "payment_intent": {"hooks", "managed_payments", "payment_details", "presentment_details"},
    "plan": {"tiers", "deleted"},
    "price": {"tiers", "currency_options", "deleted"},
    "product": {"deleted"},
    "refund": {"instructions_email", "next_action", "presentment_details"},
    "setup_intent": {"managed_payments"},
    "subscription": {"managed_payments", "presentment_details"},
    "subscription_item": {"billed_until", "deleted"},
    "webhook_endpoint": {"deleted", "secret"},
}

CLASSES: dict[str, Any] = {
    cls.OBJECT_NAME: cls
    for cls in (
        stripe.Account,
        stripe.BalanceTransaction,
        stripe.Charge,
        stripe.Coupon,
        stripe.Customer,
        stripe.CustomerBalanceTransaction,
        stripe.Discount,
        stripe.Event,
        stripe.Invoice,
        stripe.InvoiceItem,
        stripe.InvoiceLineItem,
        stripe.InvoicePayment,
        stripe.LineItem,
        stripe.PaymentIntent,
        stripe.PaymentMethod,
        stripe.Plan,
        stripe.Price,
        stripe.Product,
        stripe.PromotionCode,
        stripe.Refund,
        stripe.SetupIntent,
        stripe.Subscription,
        stripe.SubscriptionItem,
        stripe.SubscriptionSchedule,
        stripe.WebhookEndpoint,
        stripe.checkout.Session,
        stripe.billing_portal.Configuration,
        stripe.billing_portal.Session,
        stripe.test_helpers.TestClock,
    )
}
# The payment method's other types are absent, not null.
LEFT_OUT["payment_method"] = {
    name
    for name in stripe.PaymentMethod.__annotations__
    if name
    not in {
        "id",
        "object",
        "allow_redisplay",
        "billing_details",
        "card",
        "created",
        "customer",
        "customer_account",
        "livemode",
        "metadata",
        "radar_options",
        "type",
    }
}


@cache
def fields(kind: str) -> dict[str, bool]:
    """Returns the names of a kind's fields; True marks those that may be null."""
    annotations = CLASSES[kind].__annotations__
    return {
        name: type(None) in typing.get_args(hint)
        for name, hint in annotations.items()
        if typing.get_origin(hint) is not typing.ClassVar and not name.startswith("_")
    }


def build(kind: str, **values: Any) -> dict[str, Any]:
    """Returns a new object of this kind. Names with a leading underscore are the sandbox's own and never shown."""
    known = fields(kind)
    own = {name: value for name, value in values.items() if name.startswith("_")}
    unknown = values.keys() - known.keys() - own.keys()
    if unknown:
        raise TypeError(f"{kind} has no {sorted(unknown)}")
    result: dict[str, Any] = {}
    hidden = LEFT_OUT.get(kind, set())
    for name, nullable in known.items():
        if name in values:
            result[name] = values[name]
        elif name == "object":
            result[name] = kind
        elif name == "livemode":
            result[name] = False
        elif name == "metadata":
            result[name] = {}
        elif name in hidden:
            continue
        elif nullable:
            result[name] = None
        else:
            raise TypeError(f"{kind} needs {name}")
    return result | own


def listing(data: list[dict[str, Any]], url: str, *, has_more: bool = False) -> dict[str, Any]:
    """Returns a list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
