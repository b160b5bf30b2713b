"""The subscription of a license: cancel, resume, change the tier. Billing makes the changes."""

from datetime import UTC
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, portal_view
from accounts.roles import Scope
from billing.catalog import plans, pricing
from billing.customers import cards
from billing.forms import CancelForm, ConfirmForm
from billing.models import Interval, Price, Subscription
from billing.selling import cancellations, debts, subscriptions
from billing.selling.changes import Preview
from licensing import offers, overview, policies, tiers
from licensing.models import MAX_ACTIVATIONS, License
from superagent.foundation import clock
from superagent.foundation.page_addresses import get_or_post, post_only
from superagent.foundation.problems import Refusal
from superagent.foundation.templatetags.formats import absolute

NAMED_SERVERS = 10


def _paid(request: PortalRequest, subscription_id: UUID) -> tuple[License, Subscription]:
    """Returns a license and the subscription that pays for it. Raises Http404 for another organization's."""
    found = overview.licenses_of(request.organization)
    license_ = found.filter(order_item__subscription=subscription_id).first()
    if license_ is None:
        raise Http404
    return license_, license_.order_item.subscription


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE)
def cancel(request: PortalRequest, subscription_id: UUID) -> HttpResponse:
    """Cancel at the period's end. The page says what ends when, and asks for an optional reason."""
    license_, subscription = _paid(request, subscription_id)
    if request.method != "POST":
        if subscription.is_canceling or subscription.has_ended:
            return redirect("license", license_.pk)
        return _cancel_page(request, license_, subscription, CancelForm())
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
            text = _("%(license)s will end on %(date)s. Until then, nothing changes.")
            date = absolute(ending.current_period_end)
            messages.success(request, text % {"license": license_.policy.name, "date": date})
            return redirect("license", license_.pk)
    return _cancel_page(request, license_, subscription, form)


def _cancel_page(
    request: PortalRequest, license_: License, subscription: Subscription, form: CancelForm
) -> HttpResponse:
    context = {
        "license": license_,
        "subscription": subscription,
        "activations": license_.activations.order_by("-id")[:NAMED_SERVERS],
        "more_servers": max(0, license_.activations.count_up_to(MAX_ACTIVATIONS) - NAMED_SERVERS),
        "not_charged": pricing.per_period(subscription.renewal_price),
        "resumed_for": pricing.per_period(subscription.price),
        "form": form,
    }
    return render(request, "licensing/cancel.html", context, status=422 if form.errors else 200)


@post_only(page="licenses")
@portal_view(scope=Scope.BILLING_WRITE)
def resume(request: PortalRequest, subscription_id: UUID) -> HttpResponse:
    """Undo a cancellation or a scheduled change of tier."""
    license_, subscription = _paid(request, subscription_id)
    try:
        resumed = cancellations.resume(subscription=subscription, now=clock.now(request.organization))
    except Refusal as refusal:
        messages.error(request, refusal.detail)
    else:
        facts = {
            "license": license_.policy.name,
            "date": absolute(resumed.current_period_end),
            "amount": pricing.per_period(resumed.renewal_price),
        }
        messages.success(request, _("%(license)s continues and renews on %(date)s for %(amount)s.") % facts)
    return redirect("license", license_.pk)


@require_safe
@portal_view(scope=Scope.BILLING_WRITE)
def choose_tier(request: PortalRequest, subscription_id: UUID) -> HttpResponse:
    """List the tiers on sale for the chosen interval."""
    license_, subscription = _paid(request, subscription_id)
    interval = _interval(request, subscription)
    tiers = [
        {
            "offer": offer,
            "amount": offer.yearly if interval == Interval.YEAR else offer.monthly,
            "is_current": (offer.slug, interval) == (subscription.product.slug, subscription.interval),
        }
        for offer in offers.license_offers()
    ]
    context = {
        "license": license_,
        "subscription": subscription,
        "interval": interval,
        "tiers": tiers,
        "owed": debts.owed(request.organization),
    }
    return render(request, "licensing/tiers.html", context)


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE, verified=True)
def change_tier(request: PortalRequest, subscription_id: UUID, product: str) -> HttpResponse:
    """Preview a change of tier (due now, next renewal, what is included), and make it."""
    license_, subscription = _paid(request, subscription_id)
    price = offers.price_of(product, _interval(request, subscription))
    if price is None:
        raise Http404
    if request.method == "POST":
        return _change(request, license_, subscription, price)
    return _change_page(request, license_, subscription, price)


def _change(
    request: PortalRequest, license_: License, subscription: Subscription, price: Price
) -> HttpResponse:
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        messages.info(request, _("The form was incomplete. Please check the new preview."))
        return _change_page(request, license_, subscription, price)
    try:
        done = tiers.change(
            license_=license_,
            price=price,
            user=request.user,
            previewed_at=form.cleaned_data["effective_at"],
            max_amount_due=form.cleaned_data["amount_due"],
            now=clock.now(request.organization),
        )
    except subscriptions.StalePreview:
        messages.info(request, _("The amount has changed. Please check the new preview."))
        return _change_page(request, license_, subscription, price)
    except plans.AlreadyOnPlan:  # the button was pressed twice
        return redirect("license", license_.pk)
    except Refusal as refusal:
        return _change_page(request, license_, subscription, price, problem=refusal)
    messages.success(request, _done_sentence(done))
    return redirect("license", license_.pk)


def _change_page(
    request: PortalRequest,
    license_: License,
    subscription: Subscription,
    price: Price,
    problem: Refusal | None = None,
) -> HttpResponse:
    shown = None
    try:
        shown = tiers.preview(license_=license_, price=price, now=clock.now(request.organization))
    except plans.AlreadyOnPlan as refusal:
        messages.info(request, f"{refusal.title}. {refusal.detail}")
        return redirect("license", license_.pk)
    except Refusal as refusal:
        problem = problem or refusal
    context: dict[str, Any] = {
        "license": license_,
        "subscription": subscription,
        "price": price,
        "interval": price.interval,
        "preview": shown,
        "card": cards.charged_for(subscription) if shown else None,
        "problem": problem,
        "effective_at": shown.effective_at.astimezone(UTC).isoformat() if shown else "",
        "features": overview.compared(license_, policies.of_product(price.product.slug)),
        "is_same_tier": price.product_id == subscription.product_id,
    }
    return render(request, "licensing/change.html", context, status=problem.status if problem else 200)


def _done_sentence(done: Preview) -> str:
    if done.at_once:
        return _("This license is now %(tier)s.") % {"tier": done.product.name}
    return _("%(tier)s starts on %(date)s. Until then, nothing changes, and you can cancel the change.") % {
        "tier": done.product.name,
        "date": absolute(done.effective_at),
    }


def _interval(request: HttpRequest, subscription: Subscription) -> str:
    wanted = request.GET.get("interval")
    return wanted if wanted in Interval.values else subscription.interval
