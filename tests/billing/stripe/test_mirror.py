"""dj-stripe's tables follow Stripe, and a failure there stops nothing."""

from typing import Any

from djstripe.models import Customer as MirroredCustomer
from structlog.testing import capture_logs

from billing.stripe import client, fencing, mirror
from tests.billing.conftest import Customer


def fetched(customer: Customer) -> dict[str, Any]:
    return client.call("customers.retrieve", customer.account.stripe_customer_id or "")


def test_the_newest_fetch_is_kept(customer: Customer) -> None:
    older, newer = fencing.next_token(), fencing.next_token()
    mirror.keep(fetched(customer) | {"email": "new@example.com"}, newer)
    mirror.keep(fetched(customer) | {"email": "old@example.com"}, older)
    assert MirroredCustomer.objects.get(id=customer.account.stripe_customer_id).email == "new@example.com"


def test_refresh_fetches_and_ignores_what_is_gone(customer: Customer) -> None:
    MirroredCustomer.objects.all().delete()
    mirror.refresh("customer", customer.account.stripe_customer_id or "")
    assert MirroredCustomer.objects.filter(id=customer.account.stripe_customer_id).exists()
    mirror.refresh("customer", "cus_unknown")
    assert not MirroredCustomer.objects.filter(id="cus_unknown").exists()


def test_what_dj_stripe_cannot_store_is_logged_and_not_raised(customer: Customer) -> None:
    broken = fetched(customer) | {"id": "cus_broken", "created": "yesterday"}
    with capture_logs() as logs:
        mirror.keep(broken, fencing.next_token())
    assert [(line["event"], line["object"]) for line in logs] == [("mirror_failed", "cus_broken")]
    assert not MirroredCustomer.objects.filter(id="cus_broken").exists()
