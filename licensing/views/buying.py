from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, portal_view
from accounts.roles import Scope
from billing.customers import stripe_customers
from billing.models import Interval, Order, Price
from billing.selling import checkout, debts, orders
from licensing import offers, policies
from licensing.forms import BuyForm
from superagent.foundation import clock, idempotency
from superagent.foundation.page_addresses import get_or_post
from superagent.foundation.problems import Refusal


@get_or_post
@portal_view(scope=Scope.BILLING_WRITE, verified=True)
def buy(request: PortalRequest, product: str) -> HttpResponse:
    """Buy one license. The order is placed for exactly the price that the page shows."""
    price = _price(product, request.GET.get("interval", Interval.MONTH))
    card = _card(request)
    if request.method != "POST":
        return _page(request, price, BuyForm(card=card, initial={"max_total": price.unit_amount}))
    form = BuyForm(request.POST, card=card)
    if form.is_valid():
        try:
            return _order(request, price, form.cleaned_data)
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
    return _page(request, price, form)


def _order(request: PortalRequest, price: Price, chosen: dict[str, Any]) -> HttpResponse:
    organization = request.organization
    now = clock.now(organization)

    def place() -> tuple[int, Any]:
        order = orders.place(
            organization=organization,
            user=request.user,
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
        caller=f"user:{request.user.pk}",
        endpoint="page license-buy",
        # The choices are part of the key: going back in the browser and choosing differently places another order.
        key=":".join([str(chosen["visit"]), *map(str, what.values())]),
        body=what,
        effect=place,
    )
    order = Order.objects.get(pk=placed["id"])
    if chosen["payment"] == Order.Payment.CHECKOUT:
        return redirect(checkout.start_order(order=order, now=now).url)
    return redirect("order", order.pk)  # shows the progress of the payment


def _card(request: PortalRequest) -> str:
    account = stripe_customers.account_of(request.organization)
    if not account.has_card:
        return ""
    return _("%(brand)s ending in %(digits)s") % {
        "brand": account.card_brand.capitalize(),
        "digits": account.card_last_four,
    }


def _page(request: PortalRequest, price: Price, form: BuyForm) -> HttpResponse:
    context = {
        "price": price,
        "prices": price.product.prices.filter(is_active=True).order_by("unit_amount"),
        "policy": policies.of_product(price.product.slug),
        "form": form,
        "owed": debts.owed(request.organization),
    }
    return render(request, "licensing/buy.html", context, status=422 if form.errors else 200)


def _price(product: str, interval: str) -> Price:
    """Returns the price of a license product on sale. Raises Http404."""
    price = offers.price_of(product, interval)
    if price is None:
        raise Http404
    return price
