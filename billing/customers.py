"""What an organization is at Stripe: its customer, made by the outbox, so that sign-up works while Stripe is down."""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import Organization
from billing import gateway, plans
from billing.models import BillingAccount
from metering import periods
from superagent.foundation import outbox, tenancy

CREATE = "billing.create_customer"


def open_account(*, organization: Organization, now: datetime) -> BillingAccount:
    """Give a new organization its billing account, the free plan, and a customer that follows. Idempotent."""
    with tenancy.system("open a billing account"), transaction.atomic():
        account, is_new = BillingAccount.objects.get_or_create(
            organization=organization, defaults={"created_at": now}
        )
        if is_new:
            outbox.enqueue(
                topic=CREATE,
                payload=_creation(organization),
                dedupe_key=_creation_key(organization),
                organization_id=organization.pk,
            )
        plans.put_in_force(organization=organization, now=now)
        periods.ensure(organization=organization, now=now)
        account.refresh_from_db()
        return account


def stripe_id(organization: Organization) -> str | None:
    """Stripe's customer id; None until it is known."""
    return (
        BillingAccount.objects.filter(organization=organization)
        .values_list("stripe_customer_id", flat=True)
        .first()
    )


def account_of(organization: Organization) -> BillingAccount:
    """The billing account, opened now if the organization came into being without one."""
    with tenancy.system("billing account"):
        account = BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
    return account or open_account(organization=organization, now=organization.created_at)


def ensure(organization: Organization) -> str:
    """Stripe's customer id, created on the spot if the outbox has not done it yet. Calls Stripe: not in a transaction.

    Raises gateway.Unavailable.
    """
    known = account_of(organization).stripe_customer_id
    if known:
        return known
    with tenancy.system("create the customer now"):
        message = outbox.OutboxMessage.objects.filter(dedupe_key=_creation_key(organization)).first()
        return create(
            organization_id=str(organization.pk), payload=message.payload if message else _creation(organization)
        )


def create(*, organization_id: str, payload: dict[str, Any]) -> str:
    """Create the customer at Stripe, once: the key is the organization's. `payload` is what was frozen for it."""
    with tenancy.system("create a Stripe customer"):
        account = BillingAccount.objects.get(organization_id=organization_id)
        if account.stripe_customer_id:
            return account.stripe_customer_id
        customer = gateway.call(
            "customers.create", key=f"customer:{organization_id}", params=payload["params"]
        )
        BillingAccount.objects.filter(pk=account.pk, stripe_customer_id__isnull=True).update(
            stripe_customer_id=customer["id"]
        )
        return str(customer["id"])


def organization_of(customer_id: str) -> Organization | None:
    """Whose customer it is; None for a customer that is not ours. In the system scope."""
    account = (
        BillingAccount.objects.filter(stripe_customer_id=customer_id).select_related("organization").first()
    )
    return account.organization if account else None


def _creation_key(organization: Organization) -> str:
    return f"customer:{organization.pk}"


def _creation(organization: Organization) -> dict[str, Any]:
    metadata = {"organization": str(organization.pk), "djstripe_subscriber": str(organization.pk)}
    return {
        "organization": str(organization.pk),
        "params": {"name": organization.name, "email": organization.email, "metadata": metadata},
    }
