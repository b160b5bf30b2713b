"""Stripe's deliveries: who may speak, what is stored, and that each event has its effect once, in any order."""

import json
import random
import time
from typing import Any

import pytest
from django.core import checks
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Invoice, InvoiceLine, Payment, Subscription, WebhookEndpoint, WebhookEvent
from billing.projection import subscriptions as projection
from billing.signals import order_item_paid, subscription_changed
from billing.stripe import client, inbox
from superagent.foundation import nudges, tenancy
from superagent.foundation.identifiers import uuid7
from tests.billing.conftest import Customer, event, signed

SECRET = "whsec_test"


@pytest.fixture
def endpoint(db: None) -> WebhookEndpoint:
    with tenancy.system("test"):
        return WebhookEndpoint.objects.create(
            url="http://testserver/stripe/webhook/", secret=SECRET, api_version=client.API_VERSION
        )


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
    ],
)
def test_what_stripe_did_not_send_here_and_now_is_400(
    endpoint: WebhookEndpoint, body: Any, options: dict[str, Any]
) -> None:
    answer = deliver(endpoint, body, **options)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert stored() == 0


DEEP = b'{"object":"event","data":{"object":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{not json", id="not JSON"),
        pytest.param(DEEP, id="too deep"),
        pytest.param(b'{"object":"event","created":' + b"9" * 5_000 + b"}", id="a number of 5,000 digits"),
        pytest.param([], id="a list"),
        pytest.param({"object": "charge"}, id="not an event"),
        pytest.param({"object": "event"}, id="half an event"),
        pytest.param(event(created=10**18), id="the year 31 billion"),
        pytest.param(event(created=-1), id="before 1970"),
        pytest.param(event(created=True), id="created is true"),
        pytest.param(event(id="evt_" + "x" * 300), id="long id"),
        pytest.param(event(id="evt_\0"), id="NUL in the id"),
        pytest.param(event(id="evt_\ud800"), id="half a pair in the id"),
        pytest.param(event(id=5), id="the id is a number"),
        pytest.param(event("x" * 101), id="long type"),
        pytest.param(event(data={"object": {"object": "customer"}}), id="customer without id"),
        pytest.param(event(data={"object": {"object": "customer", "id": ["cus_1"]}}), id="id is a list"),
        pytest.param(event(data={"object": {"object": "price", "id": "x" * 256}}), id="long object id"),
        pytest.param(event(data=[]), id="data is a list"),
        pytest.param(event(api_version=5), id="version is a number"),
    ],
)
def test_what_stripe_signed_and_nobody_can_read_is_200_and_a_dead_letter(
    endpoint: WebhookEndpoint, body: Any
) -> None:
    """L12: a 500 would have it sent again for days."""
    assert [deliver(endpoint, body).status_code for _ in range(2)] == [200, 200]
    with tenancy.system("test"):
        letter = WebhookEvent.objects.get()
        assert (letter.state, letter.type) == ("dead", "malformed") and letter.last_error
        assert not inbox.replay(letter) and inbox.dismiss(letter) and not inbox.dismiss(letter)
    assert deliver(endpoint, body, secret="whsec_wrong").status_code == 400


@pytest.mark.parametrize(
    "subject",
    [
        {"object": "charge", "id": "ch_1", "description": "a\0b", "metadata": {"\0": "\ud800"}},
        {"object": "charge", "id": "ch_1", "amount": float("nan"), "rate": float("inf")},
        {"object": "charge", "id": "ch_1", "customer": {"no": "id"}, "payment_intent": {"id": "x" * 900}},
        {"object": "charge", "id": "ch_1", "customer": ["cus_1"], "invoice": 5},
        {"object": "invoice", "customer": None},
    ],
)
def test_what_is_strange_inside_of_an_event_does_not_keep_it_from_being_stored(
    endpoint: WebhookEndpoint, subject: dict[str, Any]
) -> None:
    kind = f"{subject['object']}.updated"
    assert deliver(endpoint, event(kind, data={"object": subject})).status_code == 200
    with tenancy.system("test"):
        assert WebhookEvent.objects.get().state == "pending"


def test_a_number_beyond_all_is_stored_as_text(endpoint: WebhookEndpoint) -> None:
    body = json.dumps(event("charge.updated")).replace('"cus_1"', '"ch_1", "rate": 1e999').encode()
    assert deliver(endpoint, body).status_code == 200
    with tenancy.system("test"):
        assert WebhookEvent.objects.get().payload["data"]["object"]["rate"] == "1e999"


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

    monkeypatch.setattr(nudges, "breaker", nudges.BrokerBreaker())
    monkeypatch.setattr(nudges.current_app, "send_task", fail)
    assert [deliver(endpoint, event()).status_code for _ in range(3)] == [200, 200, 200]
    assert len(tried) == 1
    assert stored() == 3


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
        listed = list(client.listed("events.list", params={"limit": 100}))
        mine = [
            each
            for each in listed
            if inbox.partition_of(each["data"]["object"]) == customer.account.stripe_customer_id
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
    for each in WebhookEvent.objects.filter(partition_key=customer.account.stripe_customer_id, state="done"):
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
    inbox.process_queue(customer.account.stripe_customer_id)
    assert WebhookEvent.objects.get(stripe_id=body["id"]).state == "done"


def test_starting_reads_nothing_of_dj_stripe_s(db: None) -> None:
    """Each start of manage.py wrote "permission denied for table djstripe_webhookendpoint" into PostgreSQL's log."""
    with CaptureQueriesContext(connection) as asked:
        checks.run_checks(tags=["djstripe"])
    assert [query["sql"] for query in asked if "djstripe_" in query["sql"]] == []
