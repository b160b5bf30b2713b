"""Within a batch of events an object is fetched once; what we change at Stripe is fetched again."""

from __future__ import annotations

from billing.models import WebhookEvent
from billing.stripe import batches, client, inbox
from tests.billing.conftest import Customer


def noted(found: object = "applied"):
    asked: list[str] = []

    @batches.once
    def refresh(stripe_id: str) -> object:
        asked.append(stripe_id)
        return found

    return asked, refresh


def test_each_object_once_and_only_within_a_batch() -> None:
    asked, refresh = noted()
    refresh("in_1")
    with batches.batch():
        assert [refresh("in_1"), refresh("in_1"), refresh("in_2")] == ["applied", None, "applied"]
    refresh("in_1")
    assert asked == ["in_1", "in_1", "in_2", "in_1"]


def test_what_was_not_applied_is_tried_again() -> None:
    asked, refresh = noted(found=None)
    with batches.batch():
        refresh("in_1")
        refresh("in_1")
    assert asked == ["in_1", "in_1"]


def test_a_batch_within_a_batch_has_its_own_memory() -> None:
    asked, refresh = noted()
    with batches.batch():
        refresh("in_1")
        with batches.batch():
            refresh("in_1")
        refresh("in_1")
    assert asked == ["in_1", "in_1"]


def test_what_we_change_at_stripe_is_fetched_again(customer: Customer) -> None:
    asked, refresh = noted()
    cus = customer.account.stripe_customer_id
    with batches.batch():
        refresh(cus)
        client.call("customers.retrieve", cus)
        refresh(cus)
        assert asked == [cus]
        client.call("customers.update", cus, key=f"{cus}:note", params={"metadata": {"note": "new"}})
        refresh(cus)
        assert asked == [cus, cus]
        client.call("customers.update", cus, params={"metadata": {"note": "newer"}})  # a change without a key
        refresh(cus)
    assert asked == [cus, cus, cus]


def test_a_purchase_fetches_each_of_its_objects_once(customer: Customer, monkeypatch) -> None:
    assert customer.pay(customer.visit().url).status_code == 303
    inbox.RecentEvents(customer.account.stripe_customer_id).fetch()
    retrieved: list[str] = []
    call = client.call

    def note(operation: str, *path: str, **more: object) -> object:
        if operation.endswith(".retrieve"):
            retrieved.append(path[0])
        return call(operation, *path, **more)

    monkeypatch.setattr(client, "call", note)
    waiting = WebhookEvent.objects.filter(state="pending").count()
    inbox.process_queue(customer.account.stripe_customer_id)
    assert waiting > 10
    assert len(retrieved) <= 8, retrieved
    assert customer.subscription is not None
