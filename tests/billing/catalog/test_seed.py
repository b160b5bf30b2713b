"""The initial catalog is written once."""

from billing.catalog import seed, sync
from billing.models import Price, Product
from billing.stripe import client
from tests.billing.conftest import Sandbox


def test_the_catalog_is_seeded_once_and_staff_edits_survive(shop: Sandbox, system_scope: None) -> None:
    Product.objects.filter(slug="pro").update(name="Professional")
    before = dict(Price.objects.values_list("pk", "stripe_id"))
    assert seed.write() == 0
    sync.push()
    assert Product.objects.get(slug="pro").name == "Professional"
    assert dict(Price.objects.values_list("pk", "stripe_id")) == before
    assert client.call("products.retrieve", "superagent_pro")["name"] == "Professional"
    assert all(stripe_id for pk, stripe_id in before.items() if Price.objects.get(pk=pk).unit_amount)
