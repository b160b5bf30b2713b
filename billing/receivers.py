"""What billing does when a floor below tells a fact: one idempotent call each, that only writes rows."""

from datetime import datetime
from typing import Any

from accounts.models import Organization
from accounts.signals import organization_changed, organization_created
from billing.customers import stripe_customers
from billing.overage import charges
from metering.models import UsagePeriod
from metering.signals import period_closed


def connect() -> None:
    organization_created.connect(_open_account, dispatch_uid="billing.open_account")
    organization_changed.connect(_update_customer, dispatch_uid="billing.update_customer")
    period_closed.connect(_charge_overage, dispatch_uid="billing.charge_overage")


def _open_account(*, organization: Organization, now: datetime, **_: Any) -> None:
    stripe_customers.open_account(organization=organization, now=now)


def _update_customer(*, organization: Organization, **_: Any) -> None:
    stripe_customers.follow_organization(organization)


def _charge_overage(*, period: UsagePeriod, now: datetime, **_: Any) -> None:
    charges.charge(period=period, now=now)
