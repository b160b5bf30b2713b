"""Stripe customers of organizations. Created through the outbox, so that sign-up works while Stripe is down."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Organization
from billing.catalog import plans
from billing.models import BillingAccount
from billing.stripe import client
from metering.quotas import periods
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage

CREATE = "billing.create_customer"
UPDATE = "billing.update_customer"
CLOCKS_DIFFER_SECONDS = 3600
Json = dict[str, Any]


def open_account(*, organization: Organization, now: datetime) -> BillingAccount:
    """Give a new organization its billing account and the free plan, and enqueue its Stripe customer. Idempotent."""
    with tenancy.system("open a billing account"), transaction.atomic():
        account, is_new = BillingAccount.objects.get_or_create(
            organization=organization, defaults={"created_at": now}
        )
        if is_new:
            _enqueue(organization)
        plans.apply_current_plan(organization=organization, now=now)
        periods.ensure(organization=organization, now=now)
        account.refresh_from_db()
        return account


def stripe_id(organization: Organization) -> str | None:
    """Returns the Stripe customer id, or None before it is created. Implements accounts.customers.id_of."""
    with tenancy.system("Stripe's customer of an organization"):
        return (
            BillingAccount.objects.filter(organization=organization)
            .values_list("stripe_customer_id", flat=True)
            .first()
        )


def account_of(organization: Organization) -> BillingAccount:
    """Returns the billing account; opens it if the organization has none."""
    with tenancy.system("billing account"):
        account = (
            BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
        )
    return account or open_account(organization=organization, now=organization.created_at)


def ensure(organization: Organization) -> str:
    """Returns the Stripe customer id; creates the customer if needed. Calls Stripe: not in a transaction.

    Raises client.Unavailable.
    """
    known = account_of(organization).stripe_customer_id
    if known:
        return known
    with tenancy.system("create the customer now"):
        message = (
            OutboxMessage.objects.filter(topic=CREATE, organization_id=organization.pk)
            .order_by("-id")
            .first()
        )
        return create(message.payload if message else _creation(organization))


def create(payload: dict[str, Any], *, sent_before: datetime | None = None) -> str:
    """Create the customer at Stripe, once: key and parameters were fixed when the message was enqueued.

    `sent_before`: an earlier try, whose key Stripe may have forgotten; it is looked up first.
    """
    with tenancy.system("create a Stripe customer"):
        account = BillingAccount.objects.get(organization_id=payload["organization"])
        if account.stripe_customer_id:
            return account.stripe_customer_id
        customer = _found(payload, sent_before) or client.call(
            "customers.create", key=payload["key"], params=payload["params"]
        )
        BillingAccount.objects.filter(pk=account.pk, stripe_customer_id__isnull=True).update(
            stripe_customer_id=customer["id"]
        )
        return str(customer["id"])


def _found(payload: dict[str, Any], sent_before: datetime | None) -> Json | None:
    if sent_before is None:
        return None
    params = {
        "email": payload["params"]["email"],
        "created": {"gte": int(sent_before.timestamp()) - CLOCKS_DIFFER_SECONDS},
    }
    made = client.listed("customers.list", params=params)
    return next(
        (each for each in made if each["metadata"].get("organization") == payload["organization"]), None
    )


def follow_organization(organization: Organization) -> None:
    """Enqueue the update of the customer's name and billing email, in the caller's transaction."""
    outbox.enqueue(topic=UPDATE, payload={}, organization_id=organization.pk)


def update(organization_id: UUID) -> None:
    """Push name and billing email to Stripe; repeat if they changed while the call was in flight. Calls Stripe."""
    with tenancy.system("update a Stripe customer"):
        organization = Organization.objects.get(pk=organization_id)
        told = None
        while told != (present := (organization.name, organization.email)):
            client.call(
                "customers.update",
                ensure(organization),
                params={"name": present[0], "email": present[1]},
            )
            told = present
            organization.refresh_from_db(fields=["name", "email"])  # changed while the call was in flight


def replace(account: BillingAccount, *, generation: str) -> None:
    """Forget a customer that was deleted at Stripe with its test clock, and enqueue a new one."""
    BillingAccount.objects.filter(pk=account.pk).update(
        stripe_customer_id=None,
        test_clock_id="",
        test_clock_target=None,
        payment_method_id="",
        card_brand="",
        card_last_four="",
        card_expires="",
        declined_method_id="",
        card_tried_at=None,
        balance=0,
        is_delinquent=False,
    )
    _enqueue(account.organization, generation=generation)


def organization_of(customer_id: str) -> Organization | None:
    """Returns the organization of a customer; None if it is not ours. Runs in the system scope."""
    account = (
        BillingAccount.objects.filter(stripe_customer_id=customer_id).select_related("organization").first()
    )
    return account.organization if account else None


def _enqueue(organization: Organization, *, generation: str = "") -> None:
    payload = _creation(organization, generation)
    outbox.enqueue(topic=CREATE, payload=payload, dedupe_key=payload["key"], organization_id=organization.pk)


def _creation(organization: Organization, generation: str = "") -> dict[str, Any]:
    """Returns the parameters and idempotency key of the call. `generation` distinguishes a replacement customer."""
    metadata = {"organization": str(organization.pk), "djstripe_subscriber": str(organization.pk)}
    return {
        "organization": str(organization.pk),
        "key": f"customer:{organization.pk}:{generation}" if generation else f"customer:{organization.pk}",
        "params": {"name": organization.name, "email": organization.email, "metadata": metadata},
    }
