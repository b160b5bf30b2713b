"""Create invoice items and invoices at Stripe. Calls Stripe: never in a transaction."""

from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.customers import stripe_customers
from billing.models import OverageCharge
from billing.stripe import client
from metering.models import UsagePeriod
from metering.rating import rating


def add_item(charge: OverageCharge, *, invoice_id: str, key: str) -> str:
    """Add `charge` to a draft invoice. Returns the item's id. The same `key` creates one item.

    Raises client.Rejected when the invoice is no longer a draft, client.Unavailable.
    """
    item = client.call(
        "invoice_items.create",
        key=key,
        params={
            "customer": stripe_customers.ensure(charge.organization),
            "invoice": invoice_id,
            "amount": charge.amount,
            "currency": charge.currency,
            "description": charge.description,
            "period": {
                "start": int(charge.period.start.timestamp()),
                "end": int(charge.period.end.timestamp()),
            },
            "discountable": False,
            "metadata": {
                "organization": str(charge.organization_id),
                "overage_charge": str(charge.pk),
                "usage_period": str(charge.period_id),
            },
        },
    )
    return str(item["id"])


def find_item(charge: OverageCharge, *, sent_before: datetime) -> str:
    """Returns the id of the item that an earlier try created since `sent_before`; '' if there is none."""
    params = {
        "customer": stripe_customers.ensure(charge.organization),
        "created": {"gte": int(sent_before.timestamp()) - stripe_customers.CLOCKS_DIFFER_SECONDS},
    }
    for item in client.listed("invoice_items.list", params=params):
        if item["metadata"].get("overage_charge") == str(charge.pk):
            return str(item["id"])
    return ""


def open_for(charge: OverageCharge) -> str:
    """Returns the id of a separate draft invoice for the period's overage, shared by all its meters.

    Stripe finalizes it an hour later, which leaves time for all items. If a late charge finds it final, it gets
    another invoice for itself.
    """
    common = f"overage-invoice:{charge.organization_id}:{charge.period_id}:{charge.currency}"
    invoice = _open(charge, key=common)
    if client.call("invoices.retrieve", invoice)["status"] == "draft":
        return invoice
    return _open(charge, key=f"{common}:{charge.meter_id}")


def _open(charge: OverageCharge, *, key: str) -> str:
    invoice = client.call(
        "invoices.create",
        key=key,
        params={
            "customer": stripe_customers.ensure(charge.organization),
            "currency": charge.currency,
            "auto_advance": True,
            "collection_method": "charge_automatically",
            "pending_invoice_items_behavior": "exclude",
            "description": _usage_of(charge.period),
            "metadata": {
                "organization": str(charge.organization_id),
                "usage_period": str(charge.period_id),
            },
        },
    )
    return str(invoice["id"])


def _usage_of(period: UsagePeriod) -> str:
    dates = {name: date_format(getattr(period, name), rating.DATE) for name in ("start", "end")}
    return _("Usage %(start)s – %(end)s") % dates
