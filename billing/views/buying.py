"""From a pricing link to Stripe's payment page and back."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, portal_view
from accounts.roles import Scope
from billing.catalog import plans
from billing.forms import CheckoutForm
from billing.models import CheckoutSession
from billing.selling import checkout, debts
from billing.views.plan import chosen_interval
from superagent.foundation import clock
from superagent.foundation.page_addresses import fragment, get_or_post
from superagent.foundation.problems import Refusal


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE, verified=True)
def buy(request: PortalRequest) -> HttpResponse:
    """Order summary, then on to Stripe. Pricing links lead here: `?plan=pro&interval=month`."""
    if request.method == "POST":
        return _start(request, CheckoutForm(request.POST))
    if elsewhere := _elsewhere(request):
        return redirect(elsewhere)
    return _page(request, CheckoutForm(initial={"promotion_code": request.GET.get("promotion_code", "")}))


def _start(request: PortalRequest, form: CheckoutForm) -> HttpResponse:
    organization = request.organization
    pay_url = ""
    if form.is_valid():
        try:
            started = checkout.start_plan(
                organization=organization,
                user=request.user,
                plan=request.GET.get("plan", ""),
                interval=chosen_interval(request),
                promotion_code=form.cleaned_data["promotion_code"].strip(),
                now=clock.now(organization),
            )
        except checkout.AlreadySubscribed:
            return redirect(_elsewhere(request) or "billing")
        except Refusal as refusal:
            field = "promotion_code" if any(e.pointer == "/promotion_code" for e in refusal.errors) else None
            form.add_error(field, refusal.errors[0].detail if refusal.errors else refusal.detail)
            pay_url = refusal.facts.get("pay_url", "")
        else:
            return redirect(started.url)
    return _page(request, form, pay_url)


def _elsewhere(request: PortalRequest) -> str | None:
    """Returns a redirect for a link that is not for a first paid plan, or None."""
    query = request.GET
    interval = chosen_interval(request)
    if product := query.get("product"):
        try:
            return f"{reverse('license-buy', args=[product])}?{urlencode({'interval': interval})}"
        except NoReverseMatch:
            return reverse("plans")
    try:
        price = plans.price_of(plans.get_on_sale(query.get("plan", "")), interval)
    except Refusal:
        return reverse("plans")
    is_subscribed = plans.subscription_of(request.organization) is not None
    if price.unit_amount == 0:
        return reverse("plan-cancel") if is_subscribed else reverse("billing")
    if is_subscribed:
        return f"{reverse('plan-change', args=[query['plan']])}?{urlencode({'interval': interval})}"
    return None


def _page(request: PortalRequest, form: CheckoutForm, pay_url: str = "") -> HttpResponse:
    interval = chosen_interval(request)
    try:
        plan = plans.get_on_sale(request.GET.get("plan", ""))
        price = plans.price_of(plan, interval)
    except Refusal:
        return redirect("plans")
    context = {
        "plan": plan,
        "price": price,
        "interval": interval,
        "form": form,
        "pay_url": pay_url,
        "owed": debts.owed(request.organization),
        "allowances": plan.allowances.all(),
    }
    return render(request, "billing/checkout.html", context, status=400 if form.errors else 200)


@never_cache
@require_safe
@portal_view(scope=Scope.BILLING_READ)
def returned(request: PortalRequest) -> HttpResponse:
    """Return page from Stripe: "Confirming your payment…" until the webhook arrives. Safe to leave."""
    return render(request, "billing/confirm.html", _outcome(request))


@never_cache
@require_safe
@fragment(page="checkout-return")
@portal_view(scope=Scope.BILLING_READ)
def status(request: PortalRequest) -> HttpResponse:
    """The fragment of that page that polls every two seconds."""
    return render(request, "billing/confirm_status.html", _outcome(request))


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def canceled(request: PortalRequest) -> HttpResponse:
    return render(request, "billing/checkout_canceled.html")


def _outcome(request: PortalRequest) -> dict[str, Any]:
    session_id = request.GET.get("session_id", "")[:255]
    session, is_done = checkout.outcome(organization=request.organization, session_id=session_id)
    if session is not None and not is_done and session.status != CheckoutSession.Status.EXPIRED:
        checkout.ask_if_late(session)
        session, is_done = checkout.outcome(organization=request.organization, session_id=session_id)
    return {"session": session, "is_done": is_done, "session_id": session_id}
