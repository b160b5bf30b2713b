from datetime import timedelta
from typing import Any
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts.access import PortalView
from accounts.roles import Scope
from billing import checkout, customers, orders
from billing.models import Interval, Order, Price, Product
from licensing import issued_keys, overview, policies
from licensing.forms import BuyForm
from licensing.models import License
from licensing.offers import license_offers
from superagent.foundation import clock
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal

REVEALED_SECONDS = 30


class Licenses(PortalView):
    scope = Scope.LICENSES_READ

    def get(self, request: HttpRequest) -> HttpResponse:
        now = clock.now(self.request.organization)
        rows = overview.rows(organization=self.request.organization, now=now)
        context = {"rows": rows, "now": now, "offers": license_offers()}
        return render(request, "licensing/licenses.html", context)


class LicenseView(PortalView):
    """What all pages of one license share."""

    def license(self, license_id: UUID) -> License:
        """Raises Http404 for another organization's."""
        visible = License.objects.visible_to(self.request.organization).select_related(
            "policy", "organization"
        )
        license_ = visible.prefetch_related("features").filter(pk=license_id).first()
        if license_ is None:
            raise Http404
        return license_

    def page(self, license_: License, **context: Any) -> HttpResponse:
        now = clock.now(self.request.organization)
        return render(
            self.request,
            "licensing/license.html",
            {
                "license": license_,
                "row": overview.row(license_, now),
                "activations": list(license_.activations.all()),
                "now": now,
                "revealed_seconds": REVEALED_SECONDS,
            }
            | context,
        )


@method_decorator(never_cache, name="dispatch")
class LicenseDetail(LicenseView):
    scope = Scope.LICENSES_READ

    def get(self, request: HttpRequest, license_id: UUID) -> HttpResponse:
        return self.page(self.license(license_id))


@method_decorator([never_cache, post_only(page="license")], name="dispatch")
class Reveal(LicenseView):
    """The license's page with the key, for half a minute: then the browser goes back to the page without."""

    scope = Scope.LICENSES_WRITE

    @method_decorator(reauthentication_required)
    def post(self, request: HttpRequest, license_id: UUID) -> HttpResponse:
        license_ = self.license(license_id)
        key = issued_keys.reveal(license_=license_, actor=self.request.user)
        response = self.page(license_, revealed_key=key)
        response["Refresh"] = f"{REVEALED_SECONDS}; url={reverse('license', args=[license_id])}"
        return response


@method_decorator([never_cache, post_only(page="license")], name="dispatch")
class Rotate(LicenseView):
    scope = Scope.LICENSES_WRITE

    @method_decorator(reauthentication_required)
    def post(self, request: HttpRequest, license_id: UUID) -> HttpResponse:
        license_ = self.license(license_id)
        try:
            key = issued_keys.rotate(
                license_=license_,
                actor=self.request.user,
                grace=timedelta(),
                now=clock.now(self.request.organization),
            )
        except Refusal as refusal:
            messages.error(request, refusal.detail)
            return redirect("license", license_id)
        return self.page(self.license(license_id), rotated_key=key)


class Buy(PortalView):
    """One product, one price, one button; the order is placed for exactly what the page shows."""

    scope = Scope.BILLING_WRITE
    verified = True

    def get(self, request: HttpRequest, product: str) -> HttpResponse:
        price = _price(product, request.GET.get("interval", Interval.MONTH))
        return self._page(price, BuyForm(card=self._card(), initial={"max_total": price.unit_amount}))

    def post(self, request: HttpRequest, product: str) -> HttpResponse:
        price = _price(product, request.GET.get("interval", Interval.MONTH))
        form = BuyForm(request.POST, card=self._card())
        if form.is_valid():
            try:
                return self._order(price, form.cleaned_data)
            except Refusal as refusal:
                form.add_error(None, refusal.detail)
        return self._page(price, form)

    def _order(self, price: Price, chosen: dict[str, Any]) -> HttpResponse:
        now = clock.now(self.request.organization)
        order = orders.place(
            organization=self.request.organization,
            user=self.request.user,
            items=[orders.Wanted(price.product.slug, {"interval": price.interval})],
            max_total=chosen["max_total"],
            currency=price.currency,
            payment=chosen["payment"],
            now=now,
        )
        if chosen["payment"] == Order.Payment.CHECKOUT:
            return redirect(checkout.start_order(order=order, now=now).url)
        return redirect("order", order.pk)  # it shows how the payment goes

    def _card(self) -> str:
        account = customers.account_of(self.request.organization)
        if not account.has_card:
            return ""
        return _("%(brand)s ending in %(digits)s") % {
            "brand": account.card_brand.capitalize(),
            "digits": account.card_last_four,
        }

    def _page(self, price: Price, form: BuyForm) -> HttpResponse:
        context = {
            "price": price,
            "prices": price.product.prices.filter(is_active=True).order_by("unit_amount"),
            "policy": policies.of_product(price.product.slug),
            "form": form,
        }
        return render(self.request, "licensing/buy.html", context, status=422 if form.errors else 200)


def _price(product: str, interval: str) -> Price:
    """Raises Http404."""
    found = Price.objects.filter(
        product__slug=product, product__kind=Product.Kind.LICENSE, product__is_active=True, is_active=True
    ).select_related("product")
    price = found.filter(interval=interval).first()
    if price is None:
        raise Http404
    return price
