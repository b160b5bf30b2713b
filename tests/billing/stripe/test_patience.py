"""A Stripe that hangs holds nobody for long, and takes no thread from other pages."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.db import connection
from django.test import Client
from django.utils import timezone

from billing.models import CheckoutSession
from billing.selling import checkout
from billing.stripe import client as stripe_client
from billing.stripe import patience
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer, Sandbox, make_customer
from tests.billing.test_portal import BACKEND, Browser, text
from tests.fixtures import loopback

HANGS = 3600.0
REQUEST_SECONDS = patience.REQUEST_SECONDS


@pytest.fixture
def quick(shop: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Sandbox:
    """Time-outs of a fraction of a second."""
    settings.STRIPE_TIMEOUT_SECONDS = 0.5
    monkeypatch.setattr(patience, "REQUEST_SECONDS", REQUEST_SECONDS)
    stripe_client._client.cache_clear()
    return shop


@pytest.fixture
def as_in_production(shop: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.STRIPE_TIMEOUT_SECONDS = 5
    monkeypatch.setattr(patience, "REQUEST_SECONDS", REQUEST_SECONDS)
    stripe_client._client.cache_clear()


def hang(sandbox: Sandbox) -> None:
    sandbox.fault("slow", times=100_000, seconds=HANGS)


def asked(sandbox: Sandbox) -> int:
    """How many requests have met the fault."""
    [fault] = loopback.get(f"{sandbox.url}/_sandbox/stripe/faults").json()["requests"]
    return 100_000 - int(fault["times"])


def test_after_three_time_outs_nobody_asks_for_a_while_and_then_one_does(
    customer: Customer, quick: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(quick)
    with pytest.raises(stripe_client.Unavailable):
        stripe_client.call("products.list")
    assert asked(quick) == patience.FAILURES  # one call with its two retries
    for _ in range(5):
        with pytest.raises(stripe_client.Unavailable):
            stripe_client.call("products.list")
    assert asked(quick) == patience.FAILURES
    monkeypatch.setattr(patience.breaker, "_closed_again_at", 0.0)  # the pause is over
    with pytest.raises(stripe_client.Unavailable):
        stripe_client.call("products.list")
    assert asked(quick) == patience.FAILURES + 1
    loopback.delete(f"{quick.url}/_sandbox/stripe/faults")
    monkeypatch.setattr(patience.breaker, "_closed_again_at", 0.0)
    assert stripe_client.call("products.list")["data"]
    assert not patience.breaker.is_open


def test_other_processes_are_told(
    customer: Customer, quick: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(quick)
    with pytest.raises(stripe_client.Unavailable):
        stripe_client.call("products.list")
    monkeypatch.setattr(patience, "breaker", patience.StripeBreaker())  # another process
    before = asked(quick)
    with pytest.raises(stripe_client.Unavailable):
        stripe_client.call("products.list")
    assert asked(quick) == before
    patience.breaker.reset()


def test_a_refusal_and_a_fault_of_stripe_s_are_answers(customer: Customer, quick: Sandbox) -> None:
    quick.fault("error_500", times=30)
    for _ in range(5):
        with pytest.raises(stripe_client.Unavailable):
            stripe_client.call("products.list")
    assert not patience.breaker.is_open


def test_all_calls_of_a_request_share_its_time(customer: Customer, shop: Sandbox) -> None:
    """Each alone would wait ten seconds, three times."""
    hang(shop)
    with patience.budget(1.0):
        for _ in range(3):
            with pytest.raises(stripe_client.Unavailable):
                stripe_client.call("products.list")
        assert asked(shop) == 1
    assert patience.seconds_left() is None
    with patience.budget(100.0), patience.budget(1.0), patience.budget(50.0):
        assert (patience.seconds_left() or 0) <= 1.0


def test_a_page_answers_from_our_own_books_and_says_so(
    customer: Customer, shop: Sandbox, request: pytest.FixtureRequest
) -> None:
    customer.buy("pro", "month")
    request.getfixturevalue("as_in_production")
    hang(shop)
    began = time.monotonic()
    shown = Browser(customer.user).get("/billing/plans/enterprise/?interval=month")
    assert time.monotonic() - began < 3 * patience.REQUEST_SECONDS  # it was 31 seconds for each call
    words = text(shown)
    assert shown.status_code == 503 and "The payment service cannot be reached right now" in words
    assert "Enterprise by the price list" in words and "$299.00" in words and "Try again" in words
    assert "1,000,000" in words and "$29.00" in words
    patience.breaker.timed_out()
    patience.breaker.timed_out()
    before = asked(shop)
    assert Browser(customer.user).post("/billing/card/").status_code == 302
    assert Browser(customer.user).get("/billing/").status_code == 200
    assert asked(shop) == before


@pytest.mark.django_db(transaction=True)
def test_twelve_previews_of_a_hanging_stripe_leave_the_landing_page_alone(
    shop: Sandbox, settings: Any
) -> None:
    """C1: as many requests as the web process has threads made every page wait for half a minute."""
    with tenancy.system("test"):
        customer = make_customer(shop)
        customer.buy("pro", "month")
    browser = Client()
    with tenancy.isolated():
        browser.force_login(customer.user, backend=BACKEND)
    cookies = browser.cookies
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)  # it answers nobody, until it is closed
    settings.STRIPE_API_HOST = f"http://127.0.0.1:{silent.getsockname()[1]}"
    stripe_client._client.cache_clear()
    order: list[str] = []

    def visit(name: str, path: str) -> int:
        try:
            with tenancy.isolated():
                client = Client()
                client.cookies = cookies
                return int(client.get(path).status_code)
        finally:
            order.append(name)
            connection.close()

    with ThreadPoolExecutor(settings.WEB_THREADS) as web:
        previews: list[Future[int]] = [
            web.submit(visit, "preview", "/billing/plans/enterprise/?interval=month") for _ in range(12)
        ]
        landing = web.submit(visit, "landing", "/")
        assert landing.result() == 200
        held = patience._slots._initial_value
        assert order.count("preview") <= 12 - held  # those that wait for Stripe still do
        silent.close()
        assert [preview.result() for preview in previews] == [503] * 12


def test_jobs_back_off_and_go_on_by_themselves(customer: Customer, quick: Sandbox) -> None:
    hang(quick)
    outbox.enqueue(topic="billing.update_customer", payload={}, organization_id=customer.organization.pk)
    message = OutboxMessage.objects.latest("id")
    for _ in range(3):
        OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
        outbox.deliver(message.pk)
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("pending", 3)
    assert asked(quick) == patience.FAILURES
    quick.mend()
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    outbox.deliver(message.pk)
    message.refresh_from_db()
    assert message.state == "done"


def test_mail_is_not_swept_with_what_calls_stripe(customer: Customer) -> None:
    """Twelve sign-ups while Stripe hung: their mails waited behind the calls."""
    OutboxMessage.objects.all().delete()
    outbox.enqueue(topic="billing.update_customer", payload={}, organization_id=customer.organization.pk)
    OutboxMessage.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    assert outbox.sweep() == 0
    assert outbox.sweep(queue="payments") == 1


def test_dj_stripe_s_own_calls_are_patient_too(db: None) -> None:
    assert isinstance(stripe.default_http_client, stripe_client.PatientClient)


# --- A webhook that does not come


@pytest.fixture
def paid_visit(customer: Customer) -> Iterator[tuple[Browser, str]]:
    """Paid on Stripe's page; nothing of it has reached us."""
    started = customer.visit("pro")
    assert customer.pay(started.url).status_code == 303
    yield Browser(customer.user), f"/checkout/confirm/?session_id={started.session_id}"


def test_the_confirmation_page_asks_stripe_itself_when_the_webhook_is_late(
    customer: Customer, paid_visit: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said "Confirming your payment" until the nightly job."""
    browser, path = paid_visit
    monkeypatch.setattr(checkout, "LATE_AFTER_SECONDS", 1)
    assert "Confirming your payment" in text(browser.get(path))
    time.sleep(1.2)
    assert "Welcome to Pro" in text(browser.get(path))
    assert customer.account.plan.slug == "pro"


def test_it_asks_seldom_and_a_stripe_that_hangs_does_not_hold_it(
    customer: Customer, paid_visit: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, path = paid_visit
    monkeypatch.setattr(checkout, "LATE_AFTER_SECONDS", 1)
    monkeypatch.setattr(checkout, "ASK_SECONDS", 0.6)
    hang(customer.sandbox)
    browser.get(path)
    time.sleep(1.2)
    for _ in range(4):
        assert "Confirming your payment" in text(browser.get(path))
    assert asked(customer.sandbox) == 1


def test_a_page_that_nobody_paid_leads_back_to_it(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "LATE_AFTER_SECONDS", 1)
    started = customer.visit("pro")
    browser, path = Browser(customer.user), f"/checkout/confirm/?session_id={started.session_id}"
    browser.get(path)
    time.sleep(1.2)
    shown = browser.get(path)
    assert "Not paid yet?" in text(shown) and started.url.replace("&", "&amp;") in shown.content.decode()
    assert "You paid" not in text(shown)
    assert CheckoutSession.objects.get().status == "open"


assert threading
