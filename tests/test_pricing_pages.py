"""Prices lead somewhere for everyone: a visitor signs up, a customer changes the plan, and the choice is kept (A7)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, User
from billing.catalog import plans, seed
from billing.models import Subscription
from superagent.foundation import tenancy
from tests.accounts.conftest import founded, join, page_of, person

pytestmark = pytest.mark.django_db

CHECKOUT = "/checkout/?plan=enterprise&interval=year"


@pytest.fixture
def owner(db: None) -> User:
    with tenancy.system("test"):
        seed.write()
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


def put_on_pro(organization: Organization, interval: str = "month") -> None:
    now = timezone.now()
    with tenancy.system("test"):
        plan = plans.get_on_sale("pro")
        price = plans.price_of(plan, interval)
        Subscription.objects.create(
            organization=organization, stripe_id="sub_1", stripe_item_id="si_1", product=price.product, price=price,
            plan=plan, status="active", interval=interval, current_period_start=now,
            current_period_end=now + timedelta(days=30), started_at=now,
        )  # fmt: skip
        plans.apply_current_plan(organization=organization, now=now)


def body_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def button(body: str, plan: str, interval: str) -> tuple[str, str]:
    """Label and address of a plan's button on the landing page at an interval; its words alone where there is none."""
    card = body[body.index(f'aria-labelledby="plan-{plan}"') :].split("</article>")[0]
    part = re.search(rf'<div class="plan-choice" data-interval="{interval}".*?</div>', card, re.DOTALL)
    if part is None:
        return "", ""
    words = " ".join(re.sub(r"<[^>]+>", " ", part.group()).split())
    link = re.search(r'href="([^"]+)"', part.group())
    return words, link.group(1).replace("&amp;", "&") if link else ""


def test_a_visitor_signs_up_with_the_choice(owner: User):
    body = body_of(Client(), "/")
    assert 'href="/accounts/signup/?plan=enterprise&amp;interval=month"' in body
    assert "Go to dashboard" not in body


def test_on_the_free_plan_every_paid_plan_leads_to_its_checkout(owner: User, acme: Organization):
    body = body_of(page_of(owner), "/?interval=year")
    assert button(body, "free", "month") == ("This is your plan", "")
    assert button(body, "pro", "month") == ("Choose Pro", "/checkout/?plan=pro&interval=month")
    assert button(body, "enterprise", "year") == ("Choose Enterprise", CHECKOUT)
    assert "/licenses/buy/nextpanel-business/?interval=year" in body
    assert "/accounts/signup/" not in body
    assert "Go to dashboard" in body


def test_on_a_paid_plan_the_others_are_a_change_and_free_is_its_end(owner: User, acme: Organization):
    put_on_pro(acme)
    body = body_of(page_of(owner), "/")
    assert button(body, "pro", "month") == ("This is your plan", "")
    assert button(body, "pro", "year") == ("Switch to yearly", "/billing/plans/pro/?interval=year")
    assert button(body, "enterprise", "month") == (
        "Upgrade to Enterprise",
        "/billing/plans/enterprise/?interval=month",
    )
    assert button(body, "free", "month") == ("Cancel paid plan", "/billing/cancel/")


def test_prices_offer_no_change_while_the_plan_is_canceled(owner: User, acme: Organization):
    put_on_pro(acme)
    with tenancy.system("test"):
        Subscription.objects.update(cancel_at_period_end=True)
    body = body_of(page_of(owner), "/")
    assert button(body, "enterprise", "month") == ("Resume your plan first", "/billing/")
    assert button(body, "free", "month")[1] == ""


def test_who_may_not_buy_is_told_who_may(owner: User, acme: Organization):
    put_on_pro(acme)
    client = page_of(join(acme, "dev@acme.example", "developer"))
    body = body_of(client, "/")
    assert "Owners, admins and billing members can choose what Acme buys." in body
    assert button(body, "pro", "month") == ("This is your plan", "")
    assert button(body, "enterprise", "month") == ("", "")
    assert "/licenses/buy/" not in body
    answer = client.get(CHECKOUT)
    assert answer.status_code == 403
    assert "olga@acme.example" in answer.content.decode()


@pytest.mark.parametrize(
    ("chosen", "leads_to"),
    [
        ("plan=enterprise&interval=year", CHECKOUT),
        ("product=nextpanel-business&interval=year", "/checkout/?product=nextpanel-business&interval=year"),
        ("plan=free&interval=month", "/checkout/?plan=free&interval=month"),
        ("next=/usage/", "/usage/"),
        ("", "/dashboard/"),
        ("next=//evil.example", "/dashboard/"),
    ],
)
def test_an_old_pricing_link_keeps_its_choice_for_who_is_logged_in(
    owner: User, acme: Organization, chosen: str, leads_to: str
):
    assert page_of(owner).get(f"/accounts/signup/?{chosen}")["Location"] == leads_to


@pytest.mark.parametrize(
    ("is_paying", "chosen", "leads_to"),
    [
        (False, "plan=free", "/billing/"),
        (True, "plan=free", "/billing/cancel/"),
        (True, "plan=enterprise&interval=year", "/billing/plans/enterprise/?interval=year"),
        (
            False,
            "product=nextpanel-business&interval=year",
            "/licenses/buy/nextpanel-business/?interval=year",
        ),
        (False, "plan=unknown", "/billing/plans/"),
    ],
)
def test_the_checkout_leads_to_what_fits_the_plan_there_is(
    owner: User, acme: Organization, is_paying: bool, chosen: str, leads_to: str
):
    if is_paying:
        put_on_pro(acme)
    assert page_of(owner).get(f"/checkout/?{chosen}")["Location"] == leads_to


def test_choosing_the_plan_that_one_has_says_so(owner: User, acme: Organization):
    put_on_pro(acme)
    answer = page_of(owner).get("/checkout/?plan=pro&interval=month", follow=True)
    assert answer.redirect_chain[-1][0] == "/billing/"
    assert "already has this plan" in answer.content.decode()


def test_a_choice_survives_the_making_of_an_organization(owner: User):
    client = page_of(owner)
    asked: Any = client.get(CHECKOUT)["Location"]
    assert asked.startswith("/organizations/new/?next=")
    assert client.post(asked, {"name": "Acme"})["Location"] == CHECKOUT


def test_the_plans_page_tells_who_may_not_change_the_plan(owner: User, acme: Organization):
    body = body_of(page_of(join(acme, "dev@acme.example", "developer")), "/billing/plans/")
    assert "Owners, admins and billing members can change the plan." in body
    assert "This is your plan" in body
    assert "Choose Pro" not in body
    assert "can change the plan" not in body_of(page_of(owner), "/billing/plans/")
