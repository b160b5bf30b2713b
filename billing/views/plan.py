"""The plan: overview, chooser, change with its preview, cancel, resume, Stripe's portal for cards."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, portal_view
from accounts.models import Organization
from accounts.roles import Scope
from billing.catalog import plans, pricing
from billing.customers import cards, hosted_portal
from billing.forms import CancelForm, ConfirmForm
from billing.models import Interval, Invoice, Order, Plan, PlanAllowance, Subscription
from billing.projection import coming, usage_period_sync
from billing.selling import cancellations, debts, overview, subscriptions
from billing.selling.changes import Preview
from billing.stripe import client
from metering.quotas import allowances, quota_status
from superagent.foundation import clock
from superagent.foundation.page_addresses import get_or_post, post_only
from superagent.foundation.problems import Refusal
from superagent.foundation.templatetags.formats import absolute

RECENT = 5


def chosen_interval(request: HttpRequest, default: str = Interval.MONTH) -> str:
    """Returns `?interval=`; `default` if it is missing or invalid."""
    wanted = request.GET.get("interval")
    return wanted if wanted in Interval.values else default


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def billing(request: PortalRequest) -> HttpResponse:
    organization = request.organization
    now = clock.now(organization)
    used = quota_status.overview(organization, now)
    page = overview.dashboard(organization, used, now)
    context = {
        "page": page,
        "quotas": used.quotas,
        "invoices": Invoice.objects.visible_to(organization)[:RECENT],
        "orders": Order.objects.visible_to(organization).prefetch_related("items__product")[:RECENT],
        "licenses": page.licenses,
        "now": now,
    }
    return render(request, "billing/billing.html", context)


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def choose(request: PortalRequest) -> HttpResponse:
    subscription = plans.subscription_of(request.organization)
    interval = chosen_interval(request, subscription.interval if subscription else Interval.MONTH)
    context = {
        "choices": pricing.choices(organization=request.organization, interval=interval),
        "interval": interval,
        "current": plans.current_plan(request.organization),
        "subscription": subscription,
        "owed": debts.owed(request.organization),
    }
    return render(request, "billing/plans.html", context)


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE, verified=True)
def change(request: PortalRequest, plan: str) -> HttpResponse:
    """Due today beside the next renewal, every line, and a button that names the amount."""
    if request.method == "POST":
        return _change(request, plan)
    if plans.subscription_of(request.organization) is None:
        return redirect(f"{reverse('checkout')}?plan={plan}&interval={chosen_interval(request)}")
    return _change_page(request, plan)


def _change(request: PortalRequest, plan: str) -> HttpResponse:
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        messages.info(request, _("The preview was incomplete. Here is a new one."))
        return _change_page(request, plan)
    organization = request.organization
    try:
        done = subscriptions.change_plan(
            organization=organization,
            user=request.user,
            plan=plan,
            interval=chosen_interval(request),
            previewed_at=form.cleaned_data["effective_at"],
            max_amount_due=form.cleaned_data["amount_due"],
            now=clock.now(organization),
        )
    except subscriptions.StalePreview:
        messages.info(request, _("The amount has changed. Here is a new preview."))
        return _change_page(request, plan)
    except plans.AlreadyOnPlan:  # a double click, or done in another tab before
        messages.info(request, _("This change was already made. You were not charged again."))
        return redirect("billing")
    except Refusal as refusal:
        return _change_page(request, plan, problem=refusal)
    messages.success(request, _done_sentence(done))
    return redirect("billing")


def _change_page(request: PortalRequest, plan: str, problem: Refusal | None = None) -> HttpResponse:
    organization = request.organization
    interval = chosen_interval(request)
    shown = None
    try:
        shown = subscriptions.preview_plan(
            organization=organization, plan=plan, interval=interval, now=clock.now(organization)
        )
    except plans.AlreadyOnPlan as refusal:
        messages.info(request, f"{refusal.title}. {refusal.detail}")
        return redirect("billing")
    except Refusal as refusal:
        problem = problem or refusal
    current = plans.current_plan(organization)
    target = shown.plan if shown is not None else _target(problem, plan)
    subscription = plans.subscription_of(organization)
    is_later = subscription is not None and shown is not None and not shown.at_once
    context = {
        "preview": shown,
        "problem": problem,
        "target": target,
        "cut_month": usage_period_sync.month_that_is_cut(subscription=subscription, follows=target)
        if is_later and subscription is not None
        else None,
        "card": cards.charged_for(subscription) if subscription is not None and shown is not None else None,
        "list_price": plans.price_of(target, interval) if target is not None and shown is None else None,
        "subscription": subscription,
        "interval": interval,
        "slug": plan,
        "effective_at": shown.effective_at.astimezone(UTC).isoformat() if shown else "",
        "difference": _difference(organization, current, target, shown),
        "is_same_plan": current is not None and target == current,
    }
    return render(request, "billing/change.html", context, status=problem.status if problem else 200)


def _target(problem: Refusal | None, plan: str) -> Plan | None:
    """Returns the plan from our own catalog while Stripe, which calculates the amounts, is unavailable."""
    return plans.get_on_sale(plan) if isinstance(problem, client.Unavailable) else None


def _done_sentence(done: Preview) -> str:
    name = done.product.name
    if done.at_once:
        return _("You are on %(plan)s now.") % {"plan": name}
    return _("%(plan)s starts on %(date)s. Nothing changes until then, and you can cancel the change.") % {
        "plan": name,
        "date": absolute(done.effective_at),
    }


def _difference(
    organization: Organization, current: Plan | None, target: Plan | None, shown: Preview | None
) -> list[dict[str, Any]]:
    """Returns each meter's allowance now, later this month after an immediate change, and then; with rates."""
    if current is None or target is None:
        return []
    now = {row.meter_id: row for row in current.allowances.select_related("meter")}
    then = {row.meter_id: row for row in target.allowances.select_related("meter")}
    this_month = (
        allowances.limits_after(
            organization=organization, terms=plans.terms(target), since=shown.effective_at
        )
        if shown is not None and shown.at_once
        else {}
    )
    return [
        {
            "meter": row.meter,
            "now": now.get(meter_id),
            "now_beyond": _beyond(now.get(meter_id)),
            "this_month": this_month.get(row.meter.slug),
            "then": then.get(meter_id),
            "then_beyond": _beyond(then.get(meter_id)),
        }
        for meter_id, row in (now | then).items()
    ]


def _beyond(row: PlanAllowance | None) -> str:
    """Returns the overage rate as text; empty if the allowance is unlimited."""
    if row is None or row.included is None:
        return ""
    if row.is_hard:
        return _("then it stops")
    return pricing.overage_text(row.overage_rate, row.currency) if row.overage_rate else ""


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE)
def cancel(request: PortalRequest) -> HttpResponse:
    """One page: the end date, what remains until then, and an optional reason. No further hurdles."""
    subscription = plans.subscription_of(request.organization)
    if subscription is None:
        return redirect("billing")
    if request.method != "POST":
        return (
            redirect("billing")
            if subscription.is_canceling
            else _cancel_page(request, subscription, CancelForm())
        )
    form = CancelForm(request.POST)
    if form.is_valid():
        try:
            ending = cancellations.cancel(
                subscription=subscription,
                reason=form.cleaned_data["reason"],
                now=clock.now(request.organization),
            )
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
        else:
            messages.success(request, _ends_sentence(ending.current_period_end))
            return redirect("billing")
    return _cancel_page(request, subscription, form)


def _cancel_page(request: PortalRequest, subscription: Subscription, form: CancelForm) -> HttpResponse:
    organization = request.organization
    licenses = overview.license_subscriptions(organization)
    context = {
        "subscription": subscription,
        "resumed_for": pricing.per_period(subscription.price),
        "form": form,
        "quotas": quota_status.overview(organization, clock.now(organization)).quotas,
        "is_monthly": subscription.interval == Interval.MONTH,
        "still_charged": [each for each in licenses if coming.renews(each)],
        "free": plans.free(),
        "cut_month": usage_period_sync.month_that_is_cut(subscription=subscription, follows=None),
    }
    return render(request, "billing/cancel.html", context)


def _ends_sentence(end: datetime) -> str:
    return _("Your plan ends on %(date)s. Nothing changes until then.") % {"date": absolute(end)}


@post_only(page="billing")
@portal_view(scope=Scope.BILLING_WRITE)
def resume(request: PortalRequest) -> HttpResponse:
    subscription = plans.subscription_of(request.organization)
    if subscription is not None:
        try:
            going_on = cancellations.resume(subscription=subscription, now=clock.now(request.organization))
        except Refusal as refusal:
            messages.error(request, refusal.detail)
        else:
            facts = {
                "plan": going_on.product.name,
                "date": absolute(going_on.current_period_end),
                "amount": pricing.per_period(going_on.renewal_price),
            }
            messages.success(
                request, _("%(plan)s will continue. It renews on %(date)s for %(amount)s.") % facts
            )
    return redirect("billing")


@never_cache
@post_only(page="billing")
@portal_view(scope=Scope.BILLING_WRITE)
def customer_portal(request: PortalRequest) -> HttpResponse:
    try:
        return redirect(hosted_portal.open_for(request.organization))
    except Refusal as refusal:
        messages.error(request, f"{refusal.title}. {refusal.detail}")
        return redirect("billing")
