"""Webhooks: signed, retried, repeated and reordered on demand, durable; events."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.fixtures import loopback
from tests.sandbox.conftest import Receiver, Server, Shop, client_for, eventually


def faults(server: Server, **webhooks: Any) -> None:
    assert (
        loopback.post(server.url + "/_sandbox/stripe/faults", json={"webhooks": webhooks}).status_code == 200
    )


@pytest.fixture(autouse=True)
def _clear(server: Server) -> Any:
    yield
    loopback.delete(server.url + "/_sandbox/stripe/faults")


def test_deliveries_are_signed(client: stripe.StripeClient, receiver: Receiver) -> None:
    customer = client.v1.customers.create({"email": "ada@example.com"})
    receiver.wait("customer.created", id=customer.id)
    body, header = receiver.raw[0]
    event = stripe.Webhook.construct_event(body, header, receiver.secret)
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert event.api_version == "2026-05-27.dahlia"
    assert event["request"].id.startswith("req_")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, "whsec_other")


def test_the_secret_is_shown_once(client: stripe.StripeClient) -> None:
    made = client.v1.webhook_endpoints.create(
        {"url": "http://127.0.0.1:9/x", "enabled_events": ["invoice.paid"]}
    )
    assert made.secret and made.secret.startswith("whsec_")
    again = client.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in again
    assert client.v1.webhook_endpoints.update(made.id, {"disabled": True}).status == "disabled"
    client.v1.webhook_endpoints.delete(made.id)


def test_updates_say_what_was_before(client: stripe.StripeClient, receiver: Receiver) -> None:
    customer = client.v1.customers.create({"email": "old@example.com", "metadata": {"a": "1"}})
    client.v1.customers.update(customer.id, {"email": "new@example.com", "metadata": {"b": "2"}})
    event = receiver.wait("customer.updated", id=customer.id)
    assert event["data"]["previous_attributes"] == {"email": "old@example.com", "metadata": {"b": None}}


def test_failures_are_retried_and_logged(
    client: stripe.StripeClient, receiver: Receiver, server: Server
) -> None:
    receiver.answer = 503
    customer = client.v1.customers.create({"email": "retry@example.com"})
    event = client.v1.events.list({"type": "customer.created"}).data[0]
    assert event.data.object["id"] == customer.id and event.pending_webhooks >= 1

    def tried_twice() -> Any:
        log = loopback.get(server.url + "/_sandbox/stripe/deliveries.json", params={"event": event.id}).json()
        return log if len(log[0]["attempts"]) >= 2 else None

    assert eventually(tried_twice)[0]["attempts"][0]["status"] == 503
    receiver.answer = 200
    receiver.wait("customer.created", id=customer.id)
    eventually(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)
    assert (
        loopback.post(server.url + f"/_sandbox/stripe/events/{event.id}/redeliver").json()["deliveries"] >= 1
    )
    eventually(lambda: receiver.types(id=customer.id).count("customer.created") == 2)


def test_duplicates_on_demand(client: stripe.StripeClient, receiver: Receiver, server: Server) -> None:
    assert loopback.post(server.url + "/_sandbox/stripe/faults", json={"duplicate": 2}).status_code == 200
    customer = client.v1.customers.create({"email": "thrice@example.com"})
    eventually(lambda: receiver.types(id=customer.id).count("customer.created") == 3)
    assert (
        len({event["id"] for event in receiver.received if event["data"]["object"]["id"] == customer.id}) == 1
    )


def test_paused_then_shuffled(shop: Shop, receiver: Receiver, server: Server) -> None:
    faults(server, pause=True)
    customer = shop.customer()
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
        }
    )
    time.sleep(0.2)
    assert not receiver.types(customer=customer.id)
    faults(server, pause=False, shuffle=True)
    receiver.wait("customer.subscription.updated", id=subscription.id)
    events = [e.id for e in shop.client.v1.events.list({"limit": 20}).data[::-1]]
    eventually(lambda: set(events[-10:]) <= {event["id"] for event in receiver.received})
    arrived = [event["id"] for event in receiver.received if event["id"] in events]
    assert arrived != [event_id for event_id in events if event_id in arrived]


def test_only_wanted_events_are_sent(client: stripe.StripeClient, receiver: Receiver, server: Server) -> None:
    quiet = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["invoice.paid"]})
    client.v1.customers.create({"email": "quiet@example.com"})
    log = loopback.get(server.url + "/_sandbox/stripe/deliveries.json", params={"endpoint": quiet.id}).json()
    assert log == []
    client.v1.webhook_endpoints.delete(quiet.id)


def test_events_are_listed_by_type_and_time(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({"email": "listed@example.com"})
    found = client.v1.events.list(
        {
            "types": ["customer.created"],
            "created": {"gte": int(time.time()) - 60},
            "limit": 5,
        }
    ).data
    assert customer.id in [event.data.object["id"] for event in found]
    assert not client.v1.events.list({"type": "customer.created", "created": {"lt": 1_000}}).data


def test_nothing_is_lost_by_a_kill(tmp_path: Path) -> None:
    """State, idempotency keys, pending webhooks and an advancing clock outlive `kill -9`."""
    server = Server(tmp_path)
    server.start()
    client = client_for(server)
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    customer = client.v1.customers.create({"test_clock": clock.id}, options={"idempotency_key": "k"})
    client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/nobody", "enabled_events": ["*"]})
    client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": 1_800_086_400})
    assert server.process
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.start()
    try:
        assert (
            client.v1.customers.create({"test_clock": clock.id}, options={"idempotency_key": "k"}).id
            == customer.id
        )
        after = eventually(lambda: _ready(client.v1.test_helpers.test_clocks.retrieve(clock.id)))
        assert after.frozen_time == 1_800_086_400
        log = loopback.get(server.url + "/_sandbox/stripe/deliveries.json").json()
        assert [delivery["state"] for delivery in log][-1] == "pending"
    finally:
        server.kill()


def _ready(clock: Any) -> Any:
    return clock if clock.status == "ready" else None
