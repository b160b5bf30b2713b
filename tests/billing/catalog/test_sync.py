"""The catalog at Stripe."""

from billing.catalog import sync
from billing.models import Price
from billing.stripe import client
from tests.billing.conftest import Sandbox


def test_an_amount_that_comes_back_is_a_price_of_its_own(shop: Sandbox, system_scope: None) -> None:
    """A license costs $9, then $12, then $9 again: who pays the first $9 keeps that price."""
    first = Price.objects.get(product__slug="nextpanel-starter", interval="month")
    for amount in (1_200, 900):
        Price.objects.filter(product=first.product, interval="month").update(is_active=False)
        Price.objects.create(product=first.product, interval="month", unit_amount=amount)
        for _ in range(2):
            sync.push()
    rows = Price.objects.filter(product=first.product, interval="month").order_by("id")
    assert rows[0].stripe_id == first.stripe_id and len({row.stripe_id for row in rows}) == 3
    at_stripe = [client.call("prices.retrieve", row.stripe_id) for row in rows]
    assert [(each["unit_amount"], each["active"]) for each in at_stripe] == [
        (900, False),
        (1_200, False),
        (900, True),
    ]
