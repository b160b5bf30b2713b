"""Stripe's deliveries: who may speak, what is stored, and that each event has its effect once, in any order."""

import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing import fence, gateway, inbox
from billing.models import Invoice, InvoiceLine, Payment, Subscription, WebhookEndpoint, WebhookEvent
from billing.projection import subscriptions as projection
from billing.signals import order_item_paid, subscription_changed
from superagent.foundation import outbox, tenancy
from superagent.foundation.identifiers import uuid7
from tests.billing.conftest import Customer, signed

SECRET = "whsec_test"


@pytest.fixture
def endpoint(db: None) -> WebhookEndpoint:
    with tenancy.system("test"):
        return WebhookEndpoint.objects.create(
            url="http://testserver/stripe/webhook/", secret=SECRET, api_version=gateway.API_VERSION
        )


def event(kind: str = "customer.updated", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid7().hex}",
        "object": "event",
        "type": kind,
        "api_version": gateway.API_VERSION,
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "cus_1", "object": "customer"}},
    } | changes


def deliver(endpoint: WebhookEndpoint, body: Any, *, secret: str = SECRET, at: int | None = None) -> Any:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    with tenancy.isolated():  # the request ends with no scope; the test goes on in its own
        return Client().post(
            f"/stripe/webhook/{endpoint.pk}/",
            payload,
            content_type="application/json",
            headers={"Stripe-Signature": signed(payload, secret, at)},
        )


def stored() -> int:
    with tenancy.system("test"):
        return WebhookEvent.objects.count()


def test_a_signed_event_is_stored_once_however_often_it_comes(endpoint: WebhookEndpoint) -> None:
    body = event()
    assert [deliver(endpoint, body).status_code for _ in range(3)] == [200, 200, 200]
    assert stored() == 1


def test_a_type_that_nobody_handles_is_200_and_ignored(endpoint: WebhookEndpoint) -> None:
    assert deliver(endpoint, event("tax.settings.updated")).status_code == 200
    with tenancy.system("test"):
        assert WebhookEvent.objects.get().state == WebhookEvent.State.IGNORED


@pytest.mark.parametrize(
    ("body", "options"),
    [
        pytest.param(event(), {"secret": "whsec_wrong"}, id="wrong signature"),
        pytest.param(event(), {"at": int(time.time()) - 3600}, id="old timestamp"),
        pytest.param(event(), {"at": int(time.time()) + 3600}, id="future timestamp"),
        pytest.param(event(livemode=True), {}, id="live event on a test endpoint"),
        pytest.param(event(api_version="2020-08-27"), {}, id="another API version"),
        pytest.param(b"{not json", {}, id="not JSON"),
        pytest.param({"object": "charge"}, {}, id="not an event"),
        pytest.param({"object": "event"}, {}, id="half an event"),
    ],
)
def test_what_stripe_did_not_send_here_and_now_is_400(
    endpoint: WebhookEndpoint, body: Any, options: dict[str, Any]
) -> None:
    answer = deliver(endpoint, body, **options)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert stored() == 0


def test_an_unsigned_delivery_an_unknown_endpoint_and_a_get_are_refused(endpoint: WebhookEndpoint) -> None:
    address = f"/stripe/webhook/{endpoint.pk}/"
    assert Client().post(address, b"{}", content_type="application/json").status_code == 400
    assert (
        Client().post(f"/stripe/webhook/{uuid7()}/", b"{}", content_type="application/json").status_code
        == 404
    )
    assert Client().get(address).status_code == 405


def test_a_queue_that_is_down_does_not_fail_a_delivery_and_is_left_alone(
    endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def fail(*args: Any, **kwargs: Any) -> None:
        tried.append(1)
        raise ConnectionError("no broker")

    monkeypatch.setattr(inbox, "_broken_until", 0.0)
    monkeypatch.setattr("billing.tasks.drain_lane.apply_async", fail)
    assert [deliver(endpoint, event()).status_code for _ in range(3)] == [200, 200, 200]
    assert len(tried) == 1
    assert stored() == 3


# --- Working off


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[inbox.Handler], None]:
    """Gives events of type `test.thing` a handler."""

    def register(function: inbox.Handler) -> None:
        monkeypatch.setitem(inbox.HANDLERS, "test.thing", function)

    return register


def put(lane: str = "cus_1", created: int = 100) -> WebhookEvent:
    body = event("test.thing", created=created) | {"data": {"object": {"id": lane, "object": "customer"}}}
    inbox.store([body])
    return WebhookEvent.objects.get(stripe_id=body["id"])


def test_a_lane_is_worked_off_in_the_order_of_created(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    seen: list[str] = []
    handle(lambda event: seen.append(event.stripe_id))
    late, early = put(created=200), put(created=100)
    assert inbox.drain("cus_1") == 2
    assert seen == [early.stripe_id, late.stripe_id]


def test_a_failing_event_backs_off_alone_and_is_dead_after_twelve_tries(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    def work(event: WebhookEvent) -> None:
        if event.created_at.timestamp() == 1:
            raise outbox.Retryable("not yet")

    handle(work)
    bad, good = put(created=1), put(created=2)
    inbox.drain("cus_1")
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (good.state, bad.state, bad.attempts) == ("done", "pending", 1)
    assert bad.due_at > timezone.now()
    for _ in range(11):
        WebhookEvent.objects.filter(pk=bad.pk).update(due_at=timezone.now() - timedelta(seconds=1))
        inbox.sweep()
    bad.refresh_from_db()
    assert (bad.state, bad.attempts, bad.last_error) == ("dead", 12, "Retryable: not yet")
    handle(lambda event: None)
    assert inbox.replay(bad)
    inbox.sweep()
    bad.refresh_from_db()
    assert bad.state == "done"


def test_an_event_that_arrives_while_its_lane_is_held_is_not_lost(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    seen: list[int] = []

    def work(event: WebhookEvent) -> None:
        seen.append(1)
        if len(seen) == 1:
            put(created=300)
            assert inbox.drain("cus_1") == 0  # its nudge meets the lease

    handle(work)
    put(created=1)
    inbox.drain("cus_1")
    assert len(seen) == 2


# --- The fence


def test_an_older_fetch_is_not_applied_after_a_newer_one(system_scope: None) -> None:
    first, second = fence.draw(), fence.draw()
    assert first < second
    assert fence.advance("sub_1", second)
    assert not fence.advance("sub_1", first)
    assert not fence.advance("sub_1", second)


@hypothesis_settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(order=st.permutations(range(6)))
def test_whatever_the_order_the_newest_fetch_stays(system_scope: None, order: list[int]) -> None:
    name = f"obj_{uuid7().hex}"
    numbers = [fence.draw() for _ in range(6)]
    applied = [position for position in order if fence.advance(name, numbers[position])]
    assert applied[-1] == 5
    assert applied == sorted(applied)


# --- Against the sandbox


def facts(customer: Customer) -> tuple[Any, ...]:
    organization = customer.organization
    return (
        list(
            Subscription.objects.filter(organization=organization).values_list("stripe_id", "status", "price")
        ),
        list(Invoice.objects.filter(organization=organization).values_list("stripe_id", "status", "total")),
        list(InvoiceLine.objects.filter(organization=organization).values_list("stripe_id", "amount")),
        list(
            Payment.objects.filter(organization=organization).values_list(
                "stripe_id", "status", "amount", "invoice"
            )
        ),
        customer.account.plan_id,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_same_events_three_times_in_any_order_have_their_effect_once(
    customer: Customer, endpoint: WebhookEndpoint, seed: int
) -> None:
    changes: list[str | None] = []
    paid: list[Any] = []

    def note(subscription: Subscription, previous_status: str | None, **_: Any) -> None:
        changes.append(previous_status)

    def note_paid(item: Any, **_: Any) -> None:
        paid.append(item)

    subscription_changed.connect(note)
    order_item_paid.connect(note_paid)
    try:
        customer.pay(customer.visit("pro", "month").url)
        listed = list(gateway.listed("events.list", params={"limit": 100}))
        mine = [
            each
            for each in listed
            if inbox.lane_of(each["data"]["object"]) == customer.account.stripe_customer_id
        ]
        assert len(mine) > 8
        copies = mine * 3
        random.Random(seed).shuffle(copies)
        for each in copies:
            assert deliver(endpoint, each).status_code == 200
            inbox.sweep()
        customer.settle()
    finally:
        subscription_changed.disconnect(note)
        order_item_paid.disconnect(note_paid)
    assert WebhookEvent.objects.filter(stripe_id__in=[each["id"] for each in mine]).count() == len(mine)
    assert Subscription.objects.get(organization=customer.organization).status == "active"
    assert Invoice.objects.get(organization=customer.organization).total == 2900
    assert Payment.objects.get(organization=customer.organization).amount == 2900
    assert changes == [None]
    before = facts(customer)
    for each in WebhookEvent.objects.filter(lane=customer.account.stripe_customer_id, state="done"):
        inbox.replay(each)
    inbox.sweep()
    assert facts(customer) == before
    assert not WebhookEvent.objects.filter(state="dead").exists()


def test_an_event_about_something_that_is_gone_is_done(customer: Customer) -> None:
    assert projection.refresh("sub_that_never_was") is None
    body = event("customer.subscription.updated") | {
        "data": {
            "object": {
                "id": "sub_gone",
                "object": "subscription",
                "customer": customer.account.stripe_customer_id,
            }
        }
    }
    inbox.store([body])
    inbox.drain(customer.account.stripe_customer_id)
    assert WebhookEvent.objects.get(stripe_id=body["id"]).state == "done"


@pytest.mark.usefixtures("impatient")
def test_stripe_down_leaves_the_event_to_be_tried_again(customer: Customer) -> None:
    customer.pay(customer.visit("pro", "month").url)
    customer.sandbox.fault("error_500", path="/v1/subscriptions", times=100)
    inbox.fetch_missing(lanes=[customer.account.stripe_customer_id])
    inbox.drain(customer.account.stripe_customer_id)
    assert customer.subscription is None
    waiting = WebhookEvent.objects.filter(state="pending", lane=customer.account.stripe_customer_id)
    assert waiting.exists() and all("Unavailable" in each.last_error for each in waiting)
    customer.sandbox.mend()
    waiting.update(due_at=timezone.now())
    customer.settle()
    assert customer.subscription.status == "active"
