"""Billing facts for the portal and the dashboard, from our own rows; does not call Stripe."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.models import Organization
from billing.catalog import plans
from billing.models import BillingAccount, Plan, Subscription
from billing.projection.coming import ComingInvoice
from billing.projection.coming import invoices as coming_invoices
from billing.selling import debts
from metering.quotas import periods, quota_status


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Plan, its subscription (None on the free plan), license subscriptions, account and upcoming invoices."""

    plan: Plan | None
    subscription: Subscription | None
    licenses: list[Subscription]
    account: BillingAccount | None
    coming: list[ComingInvoice]
    debt: debts.Debt | None

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
    licenses = list(license_subscriptions(organization))
    account = BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
    return Dashboard(
        plan=subscription.plan if subscription else plans.current_plan(organization),
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
        debt=debts.declined(organization),
    )


def license_subscriptions(organization: Organization) -> QuerySet[Subscription]:
    """Returns live license subscriptions with their products and prices."""
    rows: QuerySet[Subscription] = (
        Subscription.objects.visible_to(organization)
        .filter(plan__isnull=True)
        .live()
        .select_related("product", "price__product", "pending_price__product")
    )
    return rows


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
