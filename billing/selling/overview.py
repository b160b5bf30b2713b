"""Billing facts for the portal and the dashboard, from our own rows; does not call Stripe."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.models import Organization
from billing.catalog import plans
from billing.models import BillingAccount, Plan, Subscription
from billing.projection.coming import ComingInvoice
from billing.projection.coming import invoices as coming_invoices
from metering.quotas import periods, quota_status
from superagent.foundation.prepared import Given, Prepared


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Plan, its subscription (None on the free plan), license subscriptions, account and upcoming invoices."""

    plan: Plan | None
    subscription: Subscription | None
    licenses: list[Subscription]
    account: BillingAccount | None
    coming: list[ComingInvoice]

    @property
    def next_invoice(self) -> ComingInvoice | None:
        return self.coming[0] if self.coming else None

    @property
    def status(self) -> str:
        """The subscription's status for a badge; `active` on the free plan."""
        if self.subscription is None:
            return "active"
        return "canceling" if self.subscription.is_canceling else self.subscription.status

    @property
    def is_free(self) -> bool:
        return self.subscription is None


def dashboard(organization: Organization, used: quota_status.Overview, now: datetime) -> Dashboard:
    """Returns what the cards of the dashboard and the billing page need; `used` is the open usage period."""
    subscription = plans.subscription_of(organization)
    licenses = license_subscriptions(organization)
    account = _account.first(organization=organization.pk)
    return Dashboard(
        plan=subscription.plan if subscription else (account and account.plan) or plans.free(),
        subscription=subscription,
        licenses=licenses,
        account=account,
        coming=coming_invoices(
            organization=organization,
            subscriptions=[*([subscription] if subscription else []), *licenses],
            account=account,
            used=used,
            now=now,
        ),
    )


def license_subscriptions(organization: Organization) -> list[Subscription]:
    """Returns live license subscriptions with their products and prices."""
    return _license_subscriptions(organization=organization.pk)


_license_subscriptions: Prepared[Subscription] = Prepared(
    lambda: (
        Subscription.objects.filter(organization=Given("organization"), plan__isnull=True)
        .live()
        .select_related("product", "price__product", "pending_price__product")
    )
)
_account: Prepared[BillingAccount] = Prepared(
    lambda: BillingAccount.objects.filter(organization=Given("organization")).select_related("plan__product")
)


def plan_facts(*, organization: Organization, now: datetime) -> dict[str, Any]:
    """Returns the data of `billing/subscription`; without a paid plan its periods are the usage periods."""
    subscription = plans.subscription_of(organization)
    if subscription is not None and subscription.plan is not None:
        return {
            "plan": subscription.plan.slug,
            "status": subscription.status,
            "interval": subscription.interval,
            "current_period_start": subscription.current_period_start,
            "current_period_end": subscription.current_period_end,
            "cancel_at_period_end": subscription.cancel_at_period_end,
            "pending_change": subscription.pending,
            "trial_end": subscription.trial_end,
        }
    plan = plans.current_plan(organization)
    period = periods.ensure(organization=organization, now=now)
    return {
        "plan": plan.slug if plan else plans.FREE,
        "status": Subscription.Status.ACTIVE,
        "interval": None,
        "current_period_start": period.start,
        "current_period_end": period.end,
        "cancel_at_period_end": False,
        "pending_change": None,
        "trial_end": None,
    }
