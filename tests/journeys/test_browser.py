"""The main job in a browser, from the landing page to the admin: one customer's first month."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.fixtures import loopback
from tests.journeys.conftest import System, eventually
from tests.journeys.staff import enter_admin

pytestmark = pytest.mark.browser

EMAIL = "first@example.com"
PASSWORD = "correct horse battery"
STAFF_EMAIL = "staff@example.com"


def choose_pro_and_sign_up(page: Page) -> None:
    page.goto("/")
    pricing = page.get_by_role("article", name="Pro")
    expect(pricing).to_contain_text("$29")
    pricing.get_by_role("link", name="Choose Pro").click()
    page.locator("main input[name=email]").fill(EMAIL)
    page.locator("input[name=full_name]").fill("First Customer")
    page.locator("input[name=organization_name]").fill("First Company")
    page.locator("input[name=password1]").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()


def confirm_address(page: Page, system: System) -> None:
    page.goto(system.link_in(system.mail(to=EMAIL, subject="confirm")))
    page.get_by_role("button", name="Yes, confirm this address").click()


def pay_on_hosted_page(page: Page, system: System, card: str = "4242424242424242") -> None:
    page.wait_for_url(f"{system.sandbox_url}/c/pay/**")
    page.locator("input[name=cardNumber]").fill(card)
    page.locator("input[name=cardExpiry]").fill("12 / 34")
    page.locator("input[name=cardCvc]").fill("123")
    page.locator("input[name=billingName]").fill("First Customer")
    page.get_by_test_id("hosted-payment-submit-button").click()


def buy_pro(page: Page, system: System) -> None:
    expect(page.get_by_role("heading", name="Buy Pro")).to_be_visible()  # the chosen plan was kept
    page.get_by_role("button", name="Continue to payment").click()
    pay_on_hosted_page(page, system, card="4000000000000002")
    expect(page.get_by_role("alert")).to_contain_text("declined")
    pay_on_hosted_page(page, system)
    expect(page.get_by_text("Welcome to Pro")).to_be_visible()


def create_key(page: Page) -> str:
    page.goto("/api-keys/")
    page.get_by_role("link", name="Create").first.click()
    page.locator("input[name=name]").fill("Journey")
    for scope in ("usage:write", "usage:read", "quotas:read"):
        page.locator(f"input[name=scopes][value='{scope}']").check()
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("[data-secret-once]")
    expect(secret).to_be_visible()
    key = secret.locator("[data-copy-source]").inner_text().strip()
    page.goto("/api-keys/")
    expect(page.get_by_role("rowheader", name="Journey")).to_be_visible()
    assert key not in page.content()
    return key


def use_the_api(page: Page, system: System, key: str) -> None:
    """The dashboard shows a program's use while it happens."""
    page.goto("/dashboard/")
    tokens = page.locator("[data-live='ai_tokens']").first
    expect(tokens).to_have_text("0")
    with system.api(key) as program:
        event = {"event_id": "one", "meter": "ai_tokens", "quantity": 1_250_000}
        assert program.post("usage/events", json=event).json()["accepted"] == 1
        expect(tokens).to_have_text("1,250,000")  # by server-sent events, without a reload
        assert program.get("usage/stats").status_code == 200


def see_the_chart(page: Page) -> None:
    """The calls are in the period's chart and in the table beside it, seconds after they were made."""

    def drawn() -> bool:
        page.reload()
        return page.locator("figure svg").count() > 0

    eventually(drawn, every=1)
    page.get_by_text("View as table").first.click()
    expect(page.locator("figure table, details[open] table").first).to_contain_text("usage/events")


def program_at_its_limit(system: System, email: str) -> httpx.Client:
    """The API client of a new customer on the free plan, whose hard allowance is used up."""
    with system.api() as visitor:
        visitor.post(
            "auth/register", json={"email": email, "password": PASSWORD, "full_name": "Free Customer"}
        )
        system.confirm_address(email, PASSWORD)
        token = visitor.post("auth/login", json={"email": email, "password": PASSWORD}).json()["access_token"]
    with system.api(token) as customer:
        key = customer.post("api-keys", json={"name": "k", "scopes": ["usage:write"]}).json()["key"]
    program = system.api(key)
    allowed = {"event_id": "1", "meter": "ai_tokens", "quantity": 10_000}
    assert program.post("usage/events", json=allowed).status_code == 200
    return program


def hard_quota_refuses(system: System) -> None:
    program = program_at_its_limit(system, "free@example.com")
    refused = program.post("usage/events", json={"event_id": "2", "meter": "ai_tokens", "quantity": 1})
    program.close()
    assert refused.status_code == 429
    problem = refused.json()
    assert problem["code"] == "quota_exceeded"
    assert problem["resets_at"]
    assert int(refused.headers["Retry-After"]) > 0


def buy_license(page: Page, system: System) -> str:
    page.goto("/licenses/buy/nextpanel-professional/")
    page.locator("input[name=payment][value=checkout]").check()
    page.get_by_role("button", name="Pay $19.00").click()
    pay_on_hosted_page(page, system)
    expect(page.get_by_text("Your license is ready.")).to_be_visible()
    page.goto("/licenses/")
    page.get_by_role("link", name="NextPanel Professional").first.click()
    page.get_by_role("button", name="Show the key").click()
    page.locator("main input[name=password]").fill(PASSWORD)  # it asks once more who is there
    page.get_by_role("button", name="Confirm").click()
    shown = page.get_by_label("License key", exact=True)
    expect(shown).to_have_text(re.compile(r"^NP(-[0-9A-Z]{5}){5}$"))
    return shown.inner_text()


def validate(system: System, license_key: str) -> None:
    with system.api() as panel:
        body = panel.post(
            "licenses/validate", json={"license_key": license_key, "feature": "create_database"}
        ).json()
    assert (body["valid"], body["limit"], body["remaining"]) == (True, 50, 50)


def a_month_passes(page: Page, system: System) -> None:
    advance = ["test_clock", "--organization", EMAIL, "--advance"]
    system.manage_all(
        [*advance, "1m"], [*advance, "2h"]
    )  # Stripe leaves the renewal's draft open for an hour
    page.goto("/invoices/")
    total = "$29.50"  # 250,000 tokens over the allowance at $2.00 a million
    expect(page.get_by_text(total).first).to_be_visible()
    page.goto("/dashboard/")
    expect(page.locator("[data-live='ai_tokens']").first).to_have_text("0")


def staff_see_it(page: Page, system: System) -> None:
    enter_admin(page, system, STAFF_EMAIL)
    for model, text in {
        "accounts/organization": "First Company",
        "billing/plan": "Pro",
        "billing/subscription": "First Company",
        "billing/invoice": "29.50",
        "metering/usageevent": "1250000",
        "metering/requestrecord": "/api/v1/usage/events",
        "licensing/license": "First Company",
        "billing/webhookevent": "invoice.paid",
    }.items():
        page.goto(f"/admin/{model}/")
        expect(page.locator("#result_list")).to_contain_text(text)


def test_first_month_of_a_customer(page: Page, system: System) -> None:
    choose_pro_and_sign_up(page)
    confirm_address(page, system)
    buy_pro(page, system)
    key = create_key(page)
    use_the_api(page, system, key)
    see_the_chart(page)
    hard_quota_refuses(system)
    license_key = buy_license(page, system)
    validate(system, license_key)
    a_month_passes(page, system)
    staff_see_it(page, system)


def test_warning_mail_comes_once(system: System) -> None:
    """A customer at its limit: the daily job mails its owner, however often it runs."""
    email = "warned@example.com"
    program_at_its_limit(system, email).close()
    for _ in range(2):
        run_task(system, "metering.tasks.warn_of_quotas")
    system.mail(to=email, subject="100")
    assert len([mail for mail in system.mails(email) if "100" in mail["subject"]]) == 1


def run_task(system: System, name: str) -> None:
    """Hand a job to the worker, as beat does."""
    command = [sys.executable, "-m", "celery", "-A", "superagent.celery", "call", name]
    subprocess.run(command, env=system.environment, check=True, capture_output=True)


def test_a_page_that_does_not_exist_says_so(system: System) -> None:
    page = loopback.get(f"{system.url}/nothing-here")
    assert page.status_code == 404
    assert "URLconf" not in page.text
    answer = loopback.get(f"{system.url}/api/v1/nothing-here")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
