"""The admin's door: second factor, age, presence, networks, and who is told what is missing (M5, D37)."""

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value, yield_hotp_counters_from_time
from django.test import Client

from accounts import staff_access
from superagent.foundation import tenancy
from superagent.operations import checks as our_checks
from tests.accounts.conftest import PASSWORD, page_of, person
from tests.fixtures.staff import SECRET, prove, staff_client, with_second_factor

MINUTE, HOUR = 60, 3600


@pytest.fixture
def sam(db):
    return person("sam@superagent.example", is_staff=True, is_superuser=True)


def by_password(user) -> Client:
    """A browser in which somebody logged in by the portal's page with the password alone."""
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def code() -> str:
    """What the authenticator app shows now."""
    counters = list(yield_hotp_counters_from_time())
    return f"{hotp_value(SECRET, counters[len(counters) // 2]):06}"


def opened(client: Client, path: str = "/admin/"):
    return client.get(path, follow=True)


def test_strangers_are_asked_to_log_in_and_come_back(client, db):
    answer = opened(client, "/admin/accounts/user/?q=x")
    assert answer.redirect_chain[-1][0] == "/accounts/login/?next=/admin/accounts/user/%3Fq%3Dx"


def test_a_customer_is_told_and_can_log_in_as_staff(owner, acme):
    """D37: a customer got a bare 403 without a way to log in as staff."""
    client = page_of(owner)
    answer = opened(client)
    assert answer.status_code == 403
    text = answer.content.decode()
    assert owner.email in text
    assert "Log out and log in as staff" in text
    after = client.post("/accounts/logout/", {"next": "/admin/"}, follow=True)
    assert after.redirect_chain[-1][0].startswith("/accounts/login/?next=/admin/")


def test_a_password_alone_does_not_open_the_admin(sam):
    """M5: staff needed no second factor."""
    client = by_password(sam)
    text = opened(client).content.decode()
    assert "Set up two-step login first" in text
    assert "/accounts/2fa/totp/activate/" in text
    assert client.get("/admin/accounts/user/").status_code == 302
    assert client.post("/admin/accounts/user/", {"action": "x"}).status_code == 302


@pytest.mark.django_db(transaction=True)  # what was set up is told after the commit
def test_setting_up_an_app_at_the_first_visit_opens_the_admin_at_once(sam):
    client = by_password(sam)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    counter = int(time.time()) // 30
    done = client.post(
        "/accounts/2fa/totp/activate/", {"code": f"{hotp_value(secret, counter):06}"}, follow=True
    )
    assert b'href="/admin/"' in done.content  # the way back
    assert "Admin overview" in opened(client).content.decode()


def test_a_log_in_with_the_second_factor_opens_it(sam):
    with_second_factor(sam)
    client = by_password(sam)
    client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert "Admin overview" in opened(client).content.decode()


def test_a_session_that_only_the_password_confirmed_is_asked_for_the_factor(sam):
    client = by_password(sam)
    with_second_factor(sam)  # set up in another browser meanwhile
    answer = opened(client, "/admin/accounts/user/")
    assert answer.redirect_chain[-1][0] == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Faccounts%2Fuser%2F"
    back = client.post(
        "/accounts/2fa/reauthenticate/", {"code": code(), "next": "/admin/accounts/user/"}, follow=True
    )
    assert (back.status_code, back.request["PATH_INFO"]) == (200, "/admin/accounts/user/")


def test_a_factor_that_was_removed_opens_nothing_any_more(sam):
    client = staff_client(sam)
    assert "Admin overview" in opened(client).content.decode()
    with tenancy.system("test"):
        Authenticator.objects.filter(user=sam).delete()
    assert "Set up two-step login first" in opened(client).content.decode()


def test_a_session_ends_for_the_admin_after_twelve_hours(sam):
    factor = with_second_factor(sam).pk
    early, late = staff_client(sam, seconds_ago=11.9 * HOUR), staff_client(sam, seconds_ago=12.1 * HOUR)
    for client in (early, late):
        prove(client, sam, method="mfa", id=factor, reauthenticated=True)  # just now
    assert "Admin overview" in opened(early).content.decode()
    assert "Log in again" in opened(late).content.decode()


def test_half_an_hour_of_absence_asks_who_is_there(sam):
    absent = staff_client(sam, seconds_ago=31 * MINUTE)
    assert opened(absent).redirect_chain[-1][0].startswith("/accounts/2fa/reauthenticate/")
    present = staff_client(sam, seconds_ago=3 * HOUR)
    session = present.session
    session[staff_access.SEEN_KEY] = time.time() - 29 * MINUTE
    session.save()
    assert "Admin overview" in opened(present).content.decode()
    assert time.time() - present.session[staff_access.SEEN_KEY] < MINUTE


def test_what_is_dangerous_asks_again_after_ten_minutes_and_loses_nothing_silently(sam, owner):
    client = staff_client(sam, seconds_ago=11 * MINUTE)
    path = f"/admin/accounts/user/{owner.pk}/acts/deactivate/"
    assert client.get("/admin/").status_code == 200
    assert client.get(path)["Location"].startswith("/accounts/2fa/reauthenticate/?next=")
    assert client.post(path, {"reason": "x"}).status_code == 302
    owner.refresh_from_db()
    assert owner.is_active
    assert "Nothing was changed" in client.get("/admin/").content.decode()


def test_only_allowed_networks_reach_it(sam, settings):
    settings.ADMIN_NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]
    client = staff_client(sam)
    assert client.get("/admin/", follow=True).status_code == 403
    assert client.get("/admin/", REMOTE_ADDR="192.0.2.9").status_code == 200
    assert client.get("/admin/", REMOTE_ADDR="2001:db8:1::1").status_code == 200
    assert Client().get("/admin/", follow=True).status_code == 403


def test_the_next_page_is_never_another_site(sam):
    client = staff_client(sam)
    for wanted in (
        "https://evil.example/",
        "//evil.example/admin/",
        "/admin/login/?next=/admin/",
        "/dashboard/",
    ):
        assert client.get("/admin/login/", {"next": wanted})["Location"] == "/admin/"


def test_the_system_check_finds_what_would_open_the_door(settings):
    settings.ADMIN_SECOND_FACTOR, settings.IS_SECURE = False, True
    assert [error.id for error in our_checks.check_admin()] == ["superagent.E004"]
    settings.ADMIN_SECOND_FACTOR, settings.ADMIN_NETWORKS = True, ["10.0.0.1/8"]
    assert [error.id for error in our_checks.check_admin()] == ["superagent.E005"]


def test_in_development_the_demos_password_is_enough(sam, settings):
    settings.ADMIN_SECOND_FACTOR = False
    assert "Admin overview" in opened(by_password(sam)).content.decode()
