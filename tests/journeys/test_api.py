"""The main job through the API alone, as an integrator and a control panel do it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.journeys.conftest import System, eventually
from tests.journeys.hosted_checkout import pay

PASSWORD = "correct horse battery"


def sign_up(system: System, email: str) -> httpx.Client:
    """A customer with a confirmed address, logged in."""
    with system.api() as visitor:
        answer = visitor.post(
            "auth/register", json={"email": email, "password": PASSWORD, "full_name": "Ada Lovelace"}
        )
        assert answer.status_code == 201, answer.text
        system.confirm_address(email, PASSWORD)
        tokens = visitor.post("auth/login", json={"email": email, "password": PASSWORD}).json()
        assert tokens["token_type"] == "bearer"
    return system.api(tokens["access_token"])


def buy_plan(customer: httpx.Client, plan: str, interval: str = "month") -> None:
    session = customer.post("billing/create-checkout-session", json={"plan": plan, "interval": interval})
    assert session.status_code == 201, session.text
    pay(session.json()["url"])
    eventually(lambda: customer.get("billing/subscription").json()["plan"] == plan)


def meter(customer: httpx.Client, slug: str) -> dict[str, Any]:
    meters = customer.get("billing/usage").json()["meters"]
    found: dict[str, Any] = next(m for m in meters if m["meter"] == slug)
    return found


@pytest.fixture(scope="module")
def customer(system: System) -> httpx.Client:
    return sign_up(system, "ada@example.com")


def test_an_unverified_address_may_log_in_but_not_buy(system):
    with system.api() as visitor:
        visitor.post(
            "auth/register",
            json={"email": "new@example.com", "password": PASSWORD, "full_name": "New Person"},
        )
        tokens = visitor.post("auth/login", json={"email": "new@example.com", "password": PASSWORD}).json()
    with system.api(tokens["access_token"]) as person:
        answer = person.post("billing/create-checkout-session", json={"plan": "pro", "interval": "month"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "email_not_verified"


def test_the_main_job(system, customer):
    me = customer.get("auth/me").json()
    organization = me["organization"]["id"]
    assert customer.get("billing/subscription").json()["plan"] == "free"

    buy_plan(customer, "pro")
    assert customer.get("billing/subscription").json()["status"] == "active"

    key = customer.post(
        "api-keys", json={"name": "journey", "scopes": ["usage:write", "usage:read", "quotas:read"]}
    )
    assert key.status_code == 201, key.text
    with system.api(key.json()["key"]) as program:
        report_usage(program)
        assert_calls_are_metered(program)

    license_key = buy_license(system, customer)
    validate(system, license_key)
    renew(system, customer, organization)


def report_usage(program: httpx.Client) -> None:
    event = {"event_id": "e1", "meter": "ai_tokens", "quantity": 1_200_000}
    first = program.post("usage/events", json=event)
    assert (first.status_code, first.json()) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})
    again = program.post("usage/events", json=event)
    assert again.json() == {"accepted": 0, "duplicates": 1, "rejected": []}
    batch = [{"event_id": f"b{n}", "meter": "ai_tokens", "quantity": 100} for n in range(1000)]
    assert program.post("usage/events", json=batch).json()["accepted"] == 1000
    tokens = next(q for q in program.get("quotas").json()["data"] if q["meter"] == "ai_tokens")
    assert (tokens["limit"], tokens["used"], tokens["hard"]) == (1_000_000, 1_300_000, False)


def assert_calls_are_metered(program: httpx.Client) -> None:
    answer = program.get("usage/meters")
    assert answer.status_code == 200
    assert "RateLimit" in answer.headers and "RateLimit-Policy" in answer.headers
    request_id = answer.headers["X-Request-Id"]

    def recorded() -> dict[str, Any] | None:
        rows = program.get("usage/requests").json()["data"]
        return next((row for row in rows if row["request_id"] == request_id), None)

    row = eventually(recorded)
    assert row["status"] == 200
    assert row["method"] == "GET"
    assert row["endpoint"].endswith("usage/meters")


def buy_license(system: System, customer: httpx.Client) -> str:
    order = customer.post(
        "orders",
        json={
            "items": [{"product": "nextpanel-professional", "options": {"interval": "month"}}],
            "max_total": 1900,
            "currency": "usd",
            "payment": "checkout",
        },
    )
    assert order.status_code == 201, order.text
    pay(order.json()["checkout_url"])
    found = eventually(lambda: customer.get("licenses").json()["data"])
    license_key: str = customer.get(f"licenses/{found[0]['id']}").json()["license_key"]
    return license_key


def validate(system: System, license_key: str) -> None:
    with system.api() as panel:
        answer = panel.post(
            "licenses/validate",
            json={"license_key": license_key, "feature": "create_database", "nonce": "n1"},
        )
        body = answer.json()
        assert (body["valid"], body["code"], body["limit"], body["remaining"]) == (True, "VALID", 50, 50)
        signature = dict(part.split("=", 1) for part in answer.headers["SuperAgent-Signature"].split(", "))
        keys = panel.get("licenses/public-keys").json()["data"]
        public = next(k for k in keys if k["keyid"] == signature["keyid"])
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public["public_key"]))
        key.verify(base64.b64decode(signature["sig"]), f"{signature['ts']}\nn1\n".encode() + answer.content)
        counted = panel.post(
            "licenses/usage",
            json={"license_key": license_key, "feature": "databases", "delta": 1, "idempotency_key": "db-1"},
        )
        assert counted.json()["remaining"] == 49


def renew(system: System, customer: httpx.Client, organization: str) -> None:
    """One month on the test clock: the renewal invoice carries the overage, the quota starts anew."""
    before = customer.get("billing/subscription").json()
    assert meter(customer, "ai_tokens")["overage_quantity"] == 300_000
    advance = ["test_clock", "--organization", organization, "--advance"]
    system.manage_all(
        [*advance, "1m"], [*advance, "2h"]
    )  # Stripe leaves the renewal's draft open for an hour
    after = eventually(
        lambda: (
            (s := customer.get("billing/subscription").json())["current_period_start"]
            == before["current_period_end"]
            and s
        )
    )
    assert after["status"] == "active"

    def renewal() -> dict[str, Any] | None:
        invoices = customer.get("billing/invoices").json()["data"]
        return next((i for i in invoices if i["total"] == 2900 + 60), None)  # 300,000 over at $2.00 a million

    invoice = eventually(renewal)
    assert invoice["status"] == "paid"
    assert sorted(line["amount"] for line in invoice["lines"]) == [60, 2900]
    assert meter(customer, "ai_tokens")["used"] == 0
