"""What the portal and the dashboard show of billing, from our own rows: no call to Stripe."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Organization
from billing import debts, plans
from billing.models import BillingAccount, OverageCharge, Plan, Price, Subscription
from metering import periods, quotas


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    amount: int


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """An estimate: the plan, what was used beyond the allowance so far, credit. `lines` sum up to `total`."""

    at: datetime
    lines: tuple[Line, ...]
    total: int
    currency: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Plan, subscription (None on the free plan), account and the next invoice (None if there will be none)."""

    plan: Plan | None
    subscription: Subscription | None
    account: BillingAccount | None
    next_invoice: NextInvoice | None
    debt: debts.Debt | None

    @property
    def status(self) -> str:
        """For a badge: of the subscription, or `active` on the free plan."""
        if self.subscription is None:
            return "active"
        return "canceling" if self.subscription.is_canceling else self.subscription.status

    @property
    def is_free(self) -> bool:
        return self.subscription is None


def dashboard(organization: Organization, now: datetime) -> Dashboard:
    """Everything that the dashboard's plan and next-invoice cards need."""
    subscription = plans.subscription_of(organization)
    account = BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
    return Dashboard(
        plan=subscription.plan if subscription else plans.of(organization),
        subscription=subscription,
        account=account,
        next_invoice=_next_invoice(organization, subscription, account, now),
        debt=debts.declined(organization),
    )


def plan_facts(*, organization: Organization, now: datetime) -> dict[str, Any]:
    """What `billing/subscription` answers; without a paid plan its periods are those of use."""
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
    plan = plans.of(organization)
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


def _next_invoice(
    organization: Organization,
    subscription: Subscription | None,
    account: BillingAccount | None,
    now: datetime,
) -> NextInvoice | None:
    """The renewal with what was used, or sooner the month of a yearly plan; None if nothing will be billed."""
    if subscription is None:
        return None
    used = quotas.overview(organization, now)
    lines = _overage_lines(organization, used)
    at = used.period.end
    is_renewal = used.period.end >= subscription.current_period_end or not lines
    if is_renewal:
        at = subscription.current_period_end
        if not subscription.is_canceling:
            renewal = subscription.renewal_price
            lines.insert(0, Line(_plan_label(renewal), renewal.unit_amount))
    due = sum(line.amount for line in lines)
    if account is not None and account.balance < 0 < due:
        lines.append(Line(str(_("Credit")), -min(due, -account.balance)))
    if not lines:
        return None
    return NextInvoice(
        at=at,
        lines=tuple(lines),
        total=sum(line.amount for line in lines),
        currency=subscription.price.currency,
    )


def _overage_lines(organization: Organization, used: quotas.Overview) -> list[Line]:
    """Closed periods that are not invoiced yet, and use beyond the allowance in the open one."""
    waiting = OverageCharge.objects.visible_to(organization).filter(status=OverageCharge.Status.PENDING)
    lines = [Line(charge.description, charge.amount) for charge in waiting.order_by("id")]
    return lines + [
        Line(f"{quota.meter.name}: {quota.overage_quantity:,} {quota.meter.unit}", quota.overage_amount)
        for quota in used.quotas
        if quota.overage_amount
    ]


def _plan_label(price: Price) -> str:
    return f"{price.product.name}, {price.get_interval_display()}"
