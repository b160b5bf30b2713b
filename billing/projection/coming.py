"""Upcoming invoices, from our own rows: renewals, and overage so far and at the current pace. An estimate: does not
call Stripe.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import Organization
from billing.models import BillingAccount, Invoice, OverageCharge, Price, Subscription
from metering.analytics import overview as usage
from metering.quotas import quota_status
from superagent.foundation.prepared import Given, Prepared


@dataclass(frozen=True, slots=True)
class ComingLine:
    label: str
    amount: int


@dataclass(slots=True)
class ComingInvoice:
    """`lines` sum up to `total`. Usage until `at` will be added; `is_due`: it is being created now."""

    at: datetime
    currency: str
    is_due: bool
    lines: list[ComingLine] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)


def invoices(
    *,
    organization: Organization,
    subscriptions: Collection[Subscription],
    account: BillingAccount | None,
    used: quota_status.Overview,
    now: datetime,
) -> list[ComingInvoice]:
    """Returns the next invoice of each live subscription and of the overage, by date, in three queries.

    `subscriptions` are the live ones with their prices' products; `used` is the open usage period.
    """
    coming = _Coming(now)
    for subscription in subscriptions:
        if renews(subscription):
            price = subscription.renewal_price
            coming.add(
                subscription.current_period_end,
                price.currency,
                _label(price),
                price.unit_amount,
                subscription.pk,
            )
    plan = next((each for each in subscriptions if each.plan_id), None)
    drafts = {draft.stripe_id: draft for draft in _drafts(organization=organization.pk)}
    for draft in drafts.values():
        _add_draft(coming, draft)
    _add_waiting_overage(coming, organization, plan, drafts)
    _add_open_overage(coming, plan, used, now)
    found = coming.in_order()
    if account is not None:
        _add_balance([each for each in found if each.currency == account.currency], account.balance)
    return found


def overage(
    *, organization: Organization, plan: Subscription | None, used: quota_status.Overview, now: datetime
) -> list[ComingInvoice]:
    """Returns the overage until now by the date on which it is charged."""
    coming = _Coming(now)
    _add_waiting_overage(coming, organization, None, {})
    end = _end_of_use(plan, used)
    for view in used.quotas:
        _add_overage_so_far(coming, view, end, None)
    return coming.in_order()


def renews(subscription: Subscription) -> bool:
    """Returns True if it renews when its period ends."""
    if not subscription.is_live or subscription.cancel_at_period_end or subscription.is_collection_paused:
        return False
    return subscription.cancel_at is None or subscription.cancel_at > subscription.current_period_end


class _Coming:
    """Builds upcoming invoices: one for each date and subscription."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._made: dict[tuple[datetime, str, UUID | None], ComingInvoice] = {}

    def add(
        self, at: datetime, currency: str, label: str, amount: int, subscription: UUID | None = None
    ) -> None:
        invoice = self._made.setdefault(
            (at, currency, subscription), ComingInvoice(at, currency, is_due=at <= self._now)
        )
        invoice.lines.append(ComingLine(label, amount))

    def in_order(self) -> list[ComingInvoice]:
        return sorted((each for each in self._made.values() if each.total > 0), key=lambda each: each.at)


# Of renewals, which Stripe charges within the hour: few have any, so their lines are read one by one.
_drafts: Prepared[Invoice] = Prepared(
    lambda: Invoice.objects.filter(organization=Given("organization"), status=Invoice.Status.DRAFT)
)
_waiting: Prepared[OverageCharge] = Prepared(
    lambda: (
        OverageCharge.objects.filter(organization=Given("organization"), status=OverageCharge.Status.PENDING)
        .select_related("period")
        .order_by("id")
    )
)


def _add_draft(coming: _Coming, draft: Invoice) -> None:
    lines = [(line.description, line.amount) for line in draft.lines.all()]
    if rest := draft.total - sum(amount for _label, amount in lines):
        lines.append((str(_("Discounts and taxes")), rest))
    for label, amount in lines:
        coming.add(draft.created_at, draft.currency, label, amount, draft.subscription_id)


def _add_waiting_overage(
    coming: _Coming, organization: Organization, plan: Subscription | None, drafts: dict[str, Invoice]
) -> None:
    """Closed periods that are not invoiced yet: they go on a draft or on a separate invoice."""
    for charge in _waiting(organization=organization.pk):
        at, subscription = charge.period.end, _renewed_at(plan, charge.period.end)
        if draft := drafts.get(charge.target_invoice_id):
            at, subscription = draft.created_at, draft.subscription_id
        coming.add(at, charge.currency, charge.description, charge.amount, subscription)


def _add_open_overage(
    coming: _Coming, plan: Subscription | None, used: quota_status.Overview, now: datetime
) -> None:
    """The open period: overage so far, and what the current pace adds until its end."""
    end = _end_of_use(plan, used)
    for view in used.quotas:
        subscription = _renewed_at(plan, end)
        _add_overage_so_far(coming, view, end, subscription)
        more = usage.overage_to_come(view, used.period.start, end, now)
        if more.amount:
            facts = {"meter": view.meter.name, "quantity": f"{more.quantity:,}", "unit": view.meter.unit}
            label = _("%(meter)s: %(quantity)s %(unit)s more at this pace") % facts
            coming.add(end, view.currency, label, more.amount, subscription)


def _end_of_use(plan: Subscription | None, used: quota_status.Overview) -> datetime:
    """Returns when the open period is rated: at its end, or when the plan ends earlier."""
    if plan is None or renews(plan):
        return used.period.end
    return min(used.period.end, plan.cancel_at or plan.current_period_end)


def _add_overage_so_far(
    coming: _Coming, view: quota_status.QuotaStatus, end: datetime, subscription: UUID | None
) -> None:
    if not view.overage_amount:
        return
    facts = {"meter": view.meter.name, "quantity": f"{view.overage_quantity:,}", "unit": view.meter.unit}
    label = _("%(meter)s: %(quantity)s %(unit)s over the included amount so far") % facts
    coming.add(end, view.currency, label, view.overage_amount, subscription)


def _renewed_at(plan: Subscription | None, end: datetime) -> UUID | None:
    """Returns the subscription whose renewal invoice includes the usage until `end`; None for a separate invoice."""
    return plan.pk if plan is not None and renews(plan) and plan.current_period_end == end else None


def _add_balance(found: list[ComingInvoice], balance: int) -> None:
    """Credit (negative) is applied to the first invoices; a balance below the minimum charge is added to the first."""
    for invoice in found:
        if balance > 0:
            invoice.lines.append(ComingLine(str(_("Carried over")), balance))
            return
        credit = min(invoice.total, -balance)
        if credit > 0:
            invoice.lines.append(ComingLine(str(_("Credit")), -credit))
            balance += credit


def _label(price: Price) -> str:
    return f"{price.product.name}, {price.get_interval_display()}"
