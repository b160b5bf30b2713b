"""License products in price tables: only those with a policy, at the prices that are on sale."""

import pytest

from billing.catalog import seed
from billing.models import Price
from licensing import offers
from licensing.models import Policy


@pytest.fixture
def catalog(system_scope: None) -> None:
    seed.write()


def test_offers_name_prices_and_limits(catalog: None) -> None:
    found = {offer.slug: offer for offer in offers.license_offers()}
    assert list(found) == ["nextpanel-starter", "nextpanel-professional", "nextpanel-business"]
    professional = found["nextpanel-professional"]
    assert professional.features == (("Databases", 50), ("Domains", 25), ("Email accounts", 100))
    monthly = offers.price_of("nextpanel-professional", "month")
    yearly = offers.price_of("nextpanel-professional", "year")
    assert (professional.monthly, professional.yearly) == (monthly.unit_amount, yearly.unit_amount)


def test_a_product_without_a_policy_is_not_offered(catalog: None) -> None:
    Policy.objects.filter(product_slug="nextpanel-starter").delete()
    assert "nextpanel-starter" not in [offer.slug for offer in offers.license_offers()]
    assert offers.price_of("nextpanel-starter", "month") is None


def test_a_price_off_sale_is_not_offered(catalog: None) -> None:
    Price.objects.filter(product__slug="nextpanel-starter", interval="year").update(is_active=False)
    [starter] = [offer for offer in offers.license_offers() if offer.slug == "nextpanel-starter"]
    assert starter.yearly is None and starter.monthly is not None
    assert offers.price_of("nextpanel-starter", "year") is None
    assert offers.price_of("no-such-product", "month") is None
