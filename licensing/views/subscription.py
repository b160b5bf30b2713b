"""What pays for a license: cancel, resume, another tier. All of it is billing's; the pages say what it means."""

from datetime import UTC
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _

from accounts.roles import Scope
from billing.catalog import plans, pricing
from billing.customers import cards
from billing.forms import CancelForm, ConfirmForm
from billing.models import Interval, Price, Subscription
from billing.selling import cancellations, debts, subscriptions
from billing.selling.changes import Preview
from licensing import offers, overview, policies, tiers
from licensing.models import MAX_ACTIVATIONS, License
from licensing.views.licenses import LicenseView
from superagent.foundation import clock
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal
from superagent.foundation.templatetags.formats import absolute

NAMED_SERVERS = 10


class PaidLicenseView(LicenseView):
    """Pages of a license that a subscription pays for, addressed by either."""

    scope = Scope.BILLING_WRITE

    def paid(self, *, subscription_id: UUID) -> tuple[License, Subscription]:
        """Raises Http404 for another organization's."""
        found = overview.licenses_of(self.request.organization)
        license_ = found.filter(order_item__subscription=subscription_id).first()
        if license_ is None:
            raise Http404
        return license_, license_.order_item.subscription


class Cancel(PaidLicenseView):
    """One page: what ends when, what does not, an optional reason."""

    def get(self, request: HttpRequest, subscription_id: UUID) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
        if subscription.is_canceling or subscription.has_ended:
            return redirect("license", license_.pk)
        return self._page(license_, subscription, CancelForm())

    def post(self, request: HttpRequest, subscription_id: UUID) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
        form = CancelForm(request.POST)
        if form.is_valid():
            try:
                ending = cancellations.cancel(
                    subscription=subscription,
                    reason=form.cleaned_data["reason"],
                    now=clock.now(self.request.organization),
                )
            except Refusal as refusal:
                form.add_error(None, refusal.detail)
            else:
                text = _("%(license)s ends on %(date)s. Until then nothing changes.")
                date = absolute(ending.current_period_end)
                messages.success(request, text % {"license": license_.policy.name, "date": date})
                return redirect("license", license_.pk)
        return self._page(license_, subscription, form)

    def _page(self, license_: License, subscription: Subscription, form: CancelForm) -> HttpResponse:
        context = {
            "license": license_,
            "subscription": subscription,
            "activations": license_.activations.order_by("-id")[:NAMED_SERVERS],
            "more_servers": max(0, license_.activations.count_up_to(MAX_ACTIVATIONS) - NAMED_SERVERS),
            "not_charged": pricing.per_period(subscription.renewal_price),
            "resumed_for": pricing.per_period(subscription.price),
            "form": form,
        }
        return render(self.request, "licensing/cancel.html", context, status=422 if form.errors else 200)


@method_decorator(post_only(page="licenses"), name="dispatch")
class Resume(PaidLicenseView):
    """Take back a cancellation, or a change of tier that is coming."""

    def post(self, request: HttpRequest, subscription_id: UUID) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
        try:
            going_on = cancellations.resume(
                subscription=subscription, now=clock.now(self.request.organization)
            )
        except Refusal as refusal:
            messages.error(request, refusal.detail)
        else:
            facts = {
                "license": license_.policy.name,
                "date": absolute(going_on.current_period_end),
                "amount": pricing.per_period(going_on.renewal_price),
            }
            messages.success(
                request, _("%(license)s continues and renews on %(date)s for %(amount)s.") % facts
            )
        return redirect("license", license_.pk)


class Tiers(PaidLicenseView):
    """Every tier on sale, for the interval that is asked for."""

    def get(self, request: HttpRequest, subscription_id: UUID) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
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
            "owed": debts.owed(self.request.organization),
        }
        return render(request, "licensing/tiers.html", context)


class ChangeTier(PaidLicenseView):
    """Due today beside the next renewal, what is included then, and a button that names the amount."""

    verified = True

    def get(self, request: HttpRequest, subscription_id: UUID, product: str) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
        return self._page(license_, subscription, self._price(subscription, product))

    def post(self, request: HttpRequest, subscription_id: UUID, product: str) -> HttpResponse:
        license_, subscription = self.paid(subscription_id=subscription_id)
        price = self._price(subscription, product)
        form = ConfirmForm(request.POST)
        if not form.is_valid():
            messages.info(request, _("The preview was incomplete. Here is a new one."))
            return self._page(license_, subscription, price)
        try:
            done = tiers.change(
                license_=license_,
                price=price,
                user=self.request.user,
                previewed_at=form.cleaned_data["effective_at"],
                max_amount_due=form.cleaned_data["amount_due"],
                now=clock.now(self.request.organization),
            )
        except subscriptions.StalePreview:
            messages.info(request, _("The amount has changed since you looked. Here is a new preview."))
            return self._page(license_, subscription, price)
        except plans.AlreadyOnPlan:  # the button was pressed twice
            return redirect("license", license_.pk)
        except Refusal as refusal:
            return self._page(license_, subscription, price, problem=refusal)
        messages.success(request, _done_sentence(done))
        return redirect("license", license_.pk)

    def _price(self, subscription: Subscription, product: str) -> Price:
        """Raises Http404 for what is not on sale."""
        price = offers.price_of(product, _interval(self.request, subscription))
        if price is None:
            raise Http404
        return price

    def _page(
        self, license_: License, subscription: Subscription, price: Price, problem: Refusal | None = None
    ) -> HttpResponse:
        shown = None
        try:
            shown = tiers.preview(license_=license_, price=price, now=clock.now(self.request.organization))
        except plans.AlreadyOnPlan as refusal:
            messages.info(self.request, f"{refusal.title}. {refusal.detail}")
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
        return render(
            self.request, "licensing/change.html", context, status=problem.status if problem else 200
        )


def _done_sentence(done: Preview) -> str:
    if done.at_once:
        return _("This license is %(tier)s now.") % {"tier": done.product.name}
    return _("%(tier)s begins on %(date)s. Until then nothing changes, and you can take it back.") % {
        "tier": done.product.name,
        "date": absolute(done.effective_at),
    }


def _interval(request: HttpRequest, subscription: Subscription) -> str:
    wanted = request.GET.get("interval")
    return wanted if wanted in Interval.values else subscription.interval
