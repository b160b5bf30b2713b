from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalView
from accounts.roles import Scope
from billing.customers import stripe_customers
from billing.models import Interval, Order, Price
from billing.selling import checkout, debts, orders
from licensing import offers, policies
from licensing.forms import BuyForm
from superagent.foundation import clock, idempotency
from superagent.foundation.problems import Refusal


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
        organization = self.request.organization
        now = clock.now(organization)

        def place() -> tuple[int, Any]:
            order = orders.place(
                organization=organization,
                user=self.request.user,
                items=[orders.Wanted(price.product.slug, {"interval": price.interval})],
                max_total=chosen["max_total"],
                currency=price.currency,
                payment=chosen["payment"],
                now=now,
            )
            return HTTPStatus.CREATED, {"id": str(order.pk)}

        what = {"price": str(price.pk), "payment": chosen["payment"], "max_total": chosen["max_total"]}
        _status, placed, _is_replayed = idempotency.once(
            organization_id=organization.pk,
            caller=f"user:{self.request.user.pk}",
            endpoint="page license-buy",
            # What was chosen belongs to it: who goes back in the browser and pays otherwise places another order.
            key=":".join([str(chosen["visit"]), *map(str, what.values())]),
            body=what,
            effect=place,
        )
        order = Order.objects.get(pk=placed["id"])
        if chosen["payment"] == Order.Payment.CHECKOUT:
            return redirect(checkout.start_order(order=order, now=now).url)
        return redirect("order", order.pk)  # it shows how the payment goes

    def _card(self) -> str:
        account = stripe_customers.account_of(self.request.organization)
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
            "owed": debts.owed(self.request.organization),
        }
        return render(self.request, "licensing/buy.html", context, status=422 if form.errors else 200)


def _price(product: str, interval: str) -> Price:
    """Raises Http404."""
    price = offers.price_of(product, interval)
    if price is None:
        raise Http404
    return price
