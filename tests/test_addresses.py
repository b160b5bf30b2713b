"""No address of the portal is a dead end: what only takes a POST leads to its page, and every refusal is a page."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import NoReverseMatch, resolve, reverse
from django.utils import timezone

from billing.catalog import seed
from billing.models import Invoice
from superagent.foundation import tenancy
from superagent.foundation.page_addresses import ATTRIBUTE
from tests.accounts.conftest import PASSWORD, person
from tests.fixtures.samples import part, sampled
from tests.test_tenants import World, patterns, portal_of

pytestmark = pytest.mark.django_db

FOR_MACHINES = ("/api/", "/stripe/webhook/")
ARGUMENTS = {
    "invitation": ["abc"],
    "plan-change": ["pro"],
    "license-buy": ["nextpanel-starter"],
    "stripe-webhook": ["00000000-0000-0000-0000-000000000000"],
}


@pytest.fixture
def world(db: None, settings: Any) -> World:
    settings.THROTTLES = dict.fromkeys(settings.THROTTLES, (10_000, 60))
    with tenancy.system("test"):
        seed.write()
    return World()


def addresses(world: World) -> list[str]:
    """Every address of ours and of allauth's outside of the API, with ids of what `world` has."""
    found = []
    ids = world.arguments()
    for name, _pattern in patterns():
        try:
            address = reverse(name, args=ARGUMENTS.get(name), kwargs=ids.get(name))
        except NoReverseMatch:  # allauth's links of mails, whose tokens are made when they are sent
            continue
        if not address.startswith("/api/"):
            found.append(address)
    return found


def post_only(world: World) -> list[str]:
    return [each for each in addresses(world) if hasattr(resolve(each).func, ATTRIBUTE)]


def is_page(answer: Any) -> bool:
    return "<!doctype html>" in answer.content.decode().lower()


def test_every_address_can_be_opened_by_a_browser(world: World):
    """What only takes a POST, or is a part of a page, leads to a page: A2."""
    client = portal_of(world.owner)
    checked = post_only(world)
    assert len(checked) >= 10
    for address in addresses(world):
        if address.startswith(FOR_MACHINES):
            continue
        client = portal_of(world.owner)
        answer = client.get(address)
        assert answer.status_code != 405, f"{address}: give it @post_only(page=…)"
        if address in checked:
            assert answer.status_code == 302, address
            page = client.get(answer["Location"])
            assert (page.status_code, is_page(page)) == (200, True), f"{address} -> {answer['Location']}"


def test_a_form_sent_after_the_session_was_lost_leads_back_to_its_page(world: World):
    for address in post_only(world):
        visitor = Client()
        answer = visitor.post(address)
        assert answer.status_code == 302, address
        log_in = answer["Location"]
        assert log_in.startswith("/accounts/login/?next="), address
        with_form = visitor.get(log_in)
        assert with_form.status_code == 200
        assert "nothing was changed" in with_form.content.decode(), address
        body = {"login": world.owner.email, "password": PASSWORD, "next": with_form.wsgi_request.GET["next"]}
        back = visitor.post("/accounts/login/", body, follow=True)
        assert (back.status_code, is_page(back)) == (200, True), address
        assert not hasattr(resolve(back.wsgi_request.path).func, ATTRIBUTE), address
        assert back.wsgi_request.method == "GET"


def test_a_part_of_a_page_is_given_to_htmx_only(world: World):
    client = portal_of(world.owner)
    assert (
        client.get("/checkout/confirm/status/?session_id=a")["Location"] == "/checkout/confirm/?session_id=a"
    )
    part = client.get("/checkout/confirm/status/", headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert not is_page(part)
    log_in = Client().get("/checkout/confirm/status/?session_id=a")["Location"]
    assert "next=/checkout/confirm/%3Fsession_id%3Da" in log_in


@sampled(3)
def test_no_refusal_is_bare(world: World, step: int):
    cases = [
        (caller, method) for method in ("GET", "POST", "PUT", "DELETE") for caller in ("owner", "visitor")
    ]
    for turn, address in enumerate(addresses(world)):
        for caller, method in part(cases, step=step, turn=turn):
            client = portal_of(world.owner) if caller == "owner" else Client()
            answer = client.generic(method, address)
            said = f"{method} {address} by {caller}: {answer.status_code}"
            if answer.status_code >= 400 and not address.startswith(FOR_MACHINES):
                assert is_page(answer), said
            assert answer.status_code < 500 or answer.status_code == 503, said


def test_a_method_that_does_not_fit_is_our_page_with_a_way_back(world: World):
    answer = portal_of(world.owner).post("/usage/?range=7")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert 'href="/usage/?range=7"' in unescape(answer.content.decode())
    assert "Content-Security-Policy" in answer.headers
    assert 'id="sidebar"' in answer.content.decode()
    assert 'id="sidebar"' not in Client().put("/accounts/login/").content.decode()


def test_a_mistyped_address_keeps_the_menu_of_who_is_logged_in(world: World):
    body = portal_of(world.owner).get("/nothing-here").content.decode()
    assert 'id="sidebar"' in body
    assert "Globex" in body
    assert 'id="sidebar"' not in Client().get("/nothing-here").content.decode()


def test_a_person_without_an_organization_gets_the_error_without_a_menu(db: None):
    client = Client()
    client.force_login(person("nobody@example.com"))
    answer = client.get("/nothing-here")
    assert (answer.status_code, is_page(answer)) == (404, True)
    assert 'id="sidebar"' not in answer.content.decode()


def test_a_stale_form_is_told_apart_from_a_missing_right(world: World):
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.owner)
    body = client.post("/members/invite/", {"email": "a@b.example"}).content.decode()
    assert "This form has expired" in body
    assert 'href="/members/invite/"' in body
    assert 'id="sidebar"' in body
    key = world.arguments()["api-key-revoke"]["key_id"]
    revoked = client.post(f"/api-keys/{key}/revoke/").content.decode()
    assert 'href="/api-keys/"' in revoked
    elsewhere = client.post("//evil.example/").content.decode()
    assert "evil.example" not in elsewhere


def test_the_page_of_a_failure_prints_the_request_id(world: World, monkeypatch: pytest.MonkeyPatch):
    from superagent.portal import dashboard

    def fails(**_: Any) -> None:
        raise RuntimeError("for this test")

    monkeypatch.setattr(dashboard, "compose", fails)
    client = portal_of(world.owner)
    client.raise_request_exception = False
    answer = client.get("/dashboard/")
    assert answer.status_code == 500
    assert f"<code>{answer['X-Request-Id']}</code>" in answer.content.decode()


def test_an_address_of_a_provider_that_is_not_set_up_is_not_found(db: None):
    for address in ("/accounts/github/login/", "/accounts/google/login/callback/"):
        answer = Client().get(address)
        assert (answer.status_code, is_page(answer)) == (404, True)


def test_the_banner_of_an_unpaid_invoice_is_on_the_pages_of_the_account_too(world: World):
    with tenancy.system("test"):
        Invoice.objects.filter(organization=world.organization).update(
            status="open", attempt_count=1, amount_remaining=2900, created_at=timezone.now()
        )
    for address in ("/dashboard/", "/accounts/password/change/", "/nothing-here"):
        assert "was declined" in portal_of(world.owner).get(address).content.decode(), address
