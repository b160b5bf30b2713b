"""Receivers of signals from lower layers: each makes one idempotent call that only writes rows."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from accounts.models import Organization
from accounts.signals import organization_changed, organization_created
from billing.customers import stripe_customers
from billing.overage import charges
from metering.models import UsagePeriod
from metering.signals import period_closed


@receiver(organization_created)
def open_account(*, organization: Organization, now: datetime, **_: Any) -> None:
    stripe_customers.open_account(organization=organization, now=now)


@receiver(organization_changed)
def update_customer(*, organization: Organization, **_: Any) -> None:
    stripe_customers.follow_organization(organization)


@receiver(period_closed)
def charge_overage(*, period: UsagePeriod, now: datetime, **_: Any) -> None:
    charges.charge(period=period, now=now)
