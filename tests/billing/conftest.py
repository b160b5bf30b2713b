"""Billing is tested against the sandbox, a process of its own that speaks Stripe's wire.

`shop` is a catalog in the database and at Stripe. `Customer` buys as a person does, on the hosted page. What Stripe
reports is fetched by the reconciling job (`settle`), so that most tests need no web server of ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import stripe
from allauth.account.models import EmailAddress
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import api_keys, organizations
from accounts.models import Organization, User
from accounts.roles import Scope
from billing import test_clocks
from billing.catalog import plans, seed, sync
from billing.models import BillingAccount, Subscription
from billing.selling import checkout
from billing.stripe import client, inbox, patience
from superagent.foundation import clock, outbox, tenancy
from superagent.foundation.identifiers import uuid7
from superagent.foundation.models import OutboxMessage
from tests.fixtures import loopback
from tests.fixtures.sandbox import Sandbox, wait_for

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"
LONG_SECONDS = 120  # on a busy machine
FAILS_LATER_CARD = "4000000000000341"


@pytest.fixture
def stripe_at_sandbox(sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Our gateway (and dj-stripe's own client, which must stay silent) talk to the sandbox, which may be slow."""
    settings.STRIPE_API_HOST = sandbox.url
    settings.STRIPE_TIMEOUT_SECONDS = LONG_SECONDS
    monkeypatch.setattr(patience, "REQUEST_SECONDS", LONG_SECONDS)
    before = stripe.api_base
    stripe.api_base = sandbox.url
    client._client.cache_clear()
    sandbox.mend()
    sandbox.forget_endpoints()
    yield sandbox
    sandbox.mend()
    stripe.api_base = before
    client._client.cache_clear()


@pytest.fixture
def impatient(stripe_at_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No retries within a call, for tests in which Stripe stays down."""
    monkeypatch.setattr(client, "NETWORK_RETRIES", 0)
    client._client.cache_clear()


@pytest.fixture
def shop(db: None, stripe_at_sandbox: Sandbox) -> Sandbox:
    """The catalog of the first day, in the database and at Stripe."""
    with tenancy.system("test"):
        seed.write()
        sync.push()
    return stripe_at_sandbox


@dataclass
class Customer:
    """An organization with its owner, as a person uses it."""

    organization: Organization
    user: User
    sandbox: Sandbox

    @property
    def account(self) -> BillingAccount:
        return BillingAccount.objects.select_related("plan__product").get(organization=self.organization)

    @property
    def now(self) -> datetime:
        self.organization.refresh_from_db()
        return clock.now(self.organization)

    @property
    def subscription(self) -> Subscription | None:
        return plans.subscription_of(self.organization)

    def settle(self) -> None:
        """Everything that Stripe reported and that we owe Stripe is worked off."""
        settle(self.organization)

    def visit(self, plan: str = "pro", interval: str = "month", **more: Any) -> checkout.CheckoutStarted:
        return checkout.start_plan(
            organization=self.organization, user=self.user, plan=plan, interval=interval, now=self.now, **more
        )

    def pay(self, url: str, card: str = GOOD_CARD) -> httpx.Response:
        """Fill in the hosted page."""
        data = {"cardNumber": card, "cardExpiry": "12 / 40", "cardCvc": "123", "billingName": "Ada Lovelace",
                "email": self.organization.email}  # fmt: skip
        return loopback.post(url, data=data)

    def buy(self, plan: str = "pro", interval: str = "month", card: str = GOOD_CARD) -> Subscription:
        answer = self.pay(self.visit(plan, interval).url, card)
        assert answer.status_code == 303, answer.text
        self.settle()
        assert self.subscription is not None
        return self.subscription

    def start_test_clock(self) -> None:
        test_clocks.start(self.organization)
        self.organization.refresh_from_db()

    def advance(self, to: datetime) -> None:
        assert test_clocks.run(organization=self.organization, to=to)
        self.organization.refresh_from_db()


def settle(organization: Organization) -> None:
    deliver_all(organization)
    account = BillingAccount.objects.select_related("organization").get(organization=organization)
    test_clocks.wait_until_idle(account)


def deliver_all(organization: Organization) -> None:
    for _ in range(20):
        due = OutboxMessage.objects.filter(
            organization_id=organization.pk,
            state="pending",
            topic__startswith="billing.",
            due_at__lte=timezone.now(),
        )
        if not due.exists():
            return
        for message in due:
            outbox.deliver(message.pk)


def make_customer(sandbox: Sandbox, name: str = "Acme", *, verified: bool = True) -> Customer:
    email = f"{name.lower()}@example.com"
    user = User.objects.create_user(email, "correct horse battery", full_name=f"{name} Owner")
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=verified)
    # Signed up a while ago: Stripe counts in whole seconds, and nobody buys in the one in which they sign up.
    signed_up_at = timezone.now() - timedelta(minutes=1)
    organization = organizations.create(name=name, owner=user, now=signed_up_at)
    deliver_all(organization)
    return Customer(organization, user, sandbox)


@pytest.fixture
def customer(shop: Sandbox) -> Iterator[Customer]:
    """A new organization on the free plan, with its Stripe customer. The whole test sees every row."""
    with tenancy.system("test"):
        yield make_customer(shop)


@pytest.fixture
def other_customer(customer: Customer, shop: Sandbox) -> Customer:
    return make_customer(shop, "Globex")


EVERYTHING = [Scope.BILLING_READ, Scope.BILLING_WRITE]


class Caller:
    """Calls /api/v1/ with an API key, as a program does; the test's own scope comes back after each call."""

    def __init__(self, customer: Customer, scopes: list[str] | None = None) -> None:
        _, self.key = api_keys.create(
            organization=customer.organization, name="test", scopes=scopes or EVERYTHING, created_by=customer.user,
            expires_at=None, now=timezone.now(),
        )  # fmt: skip
        self.client = APIClient()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        with tenancy.isolated():
            return getattr(self.client, method)(
                f"/api/v1/{path}",
                body,
                format="json",
                headers={"Authorization": f"Bearer {self.key}", **headers},
            )


@pytest.fixture
def call(customer: Customer) -> Iterator[Caller]:
    yield Caller(customer)


@pytest.fixture
def stranger(other_customer: Customer) -> Caller:
    return Caller(other_customer)


def event(kind: str = "customer.updated", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid7().hex}",
        "object": "event",
        "type": kind,
        "api_version": client.API_VERSION,
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "cus_1", "object": "customer"}},
    } | changes


def signed(payload: bytes, secret: str, at: int | None = None) -> str:
    """Stripe's signature header."""
    at = int(time.time()) if at is None else at
    return f"t={at},v1={stripe.WebhookSignature._compute_signature(f'{at}.{payload.decode()}', secret)}"


__all__ = ["inbox", "settings", "wait_for"]
