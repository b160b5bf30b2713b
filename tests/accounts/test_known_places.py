"""Browsers and networks that a person has used: strangers' guesses do not hold them up, and new ones are mailed."""

from django.core import signing
from django.test import Client

from accounts import known_places, mail_links
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD
from tests.accounts.guessers import (
    AWAY,
    HERE,
    HOME,
    NEW_PASSWORD,
    THIRD,
    api_log_in,
    attacked,
    guess,
    known_browser,
    limits,
    page_log_in,
)

__all__ = ["limits"]  # a fixture of every test


def test_a_known_browser_passes_its_neighbors(owner):
    browser = known_browser(owner, address=HERE)
    guess(owner.email, 4)
    assert page_log_in(owner.email, browser=Client()) != "in"
    assert page_log_in(owner.email, browser=browser) == "in"


def test_a_known_browser_has_a_limit_of_its_own(owner):
    browser = known_browser(owner, address=HERE)
    for _ in range(3):
        page_log_in(owner.email, "wrong", browser=browser)
    assert "Too many failed attempts. Try again in" in page_log_in(owner.email, browser=browser)
    assert page_log_in(owner.email) == "in"  # what a stolen browser used up is not the owner's


def test_a_browser_is_known_for_its_own_people_only(owner, stranger):
    browser = known_browser(stranger, address=HERE)
    guess(owner.email, 4)
    assert page_log_in(owner.email, browser=browser) != "in"
    known_browser(owner, address=HOME)
    both = known_browser(stranger, address=HOME)
    page_log_in(owner.email, address=HOME, browser=both)
    both.post("/accounts/logout/", headers={"X-Forwarded-For": HOME})
    assert page_log_in(owner.email, browser=both) == "in"


def test_a_forged_cookie_knows_nobody(owner):
    guess(owner.email, 3)
    somebody = [[str(owner.pk), "b", "stamp"]]
    forged = [
        "",
        "nonsense",
        signing.dumps(somebody, salt="another"),
        signing.dumps(somebody, salt=known_places.COOKIE),  # not of the owner's password
        signing.dumps({"a": 1}, salt=known_places.COOKIE),
    ]
    for cookie in forged:
        browser = Client()
        browser.cookies[known_places.COOKIE] = cookie
        assert page_log_in(owner.email, browser=browser) != "in"


def test_the_cookie_is_for_log_ins_only_and_out_of_reach_of_scripts(owner):
    answer = Client().post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    cookie = answer.cookies[known_places.COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/accounts/")
    assert str(owner.pk) not in cookie.value


def test_a_new_password_makes_other_browsers_unknown(owner):
    thiefs = known_browser(owner, address=HERE)
    owner.set_password(NEW_PASSWORD)
    owner.save()
    guess(owner.email, 3)
    assert page_log_in(owner.email, NEW_PASSWORD, browser=thiefs) != "in"


# --- one password for many accounts


def test_many_networks_at_one_account_do_not_hold_up_known_places(owner):
    browser = known_browser(owner, address=HOME)
    attacked(owner)
    assert guess(owner.email, 1, THIRD) == [429]
    assert api_log_in(owner.email, address=HOME) == 200
    assert page_log_in(owner.email, address=HOME) == "in"
    assert page_log_in(owner.email, address=AWAY, browser=browser) == "in"


def test_the_owner_in_a_new_place_gets_in_by_mail_at_once(owner, settings):
    attacked(owner)
    assert "from many networks. Try again in" in page_log_in(owner.email, address=AWAY)
    browser = Client()
    from_away = {"X-Forwarded-For": AWAY}
    browser.post("/accounts/password/reset/", {"email": owner.email}, headers=from_away)
    with tenancy.system("test"):
        mail = OutboxMessage.objects.filter(topic="accounts.send_mail").latest("id")
        link = mail_links.make(mail.payload["context"]["link"], to=owner.email)
    form = browser.get(link.removeprefix(settings.PUBLIC_URL), headers=from_away, follow=True)
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    browser.post(form.request["PATH_INFO"], passwords, headers=from_away)
    assert page_log_in(owner.email, NEW_PASSWORD, AWAY, browser) == "in"
    assert api_log_in(owner.email, NEW_PASSWORD, AWAY) == 200  # the network is known now
    assert api_log_in(owner.email, NEW_PASSWORD, THIRD) == 429


def test_known_networks_of_an_old_password_are_forgotten(owner):
    assert api_log_in(owner.email, address=HOME) == 200
    browser = Client()
    assert page_log_in(owner.email, address=AWAY, browser=browser) == "in"
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    changed = browser.post("/accounts/password/change/", form, headers={"X-Forwarded-For": AWAY})
    assert changed.status_code == 302, changed.content
    attacked(owner)
    assert api_log_in(owner.email, NEW_PASSWORD, HOME) == 429
    assert api_log_in(owner.email, NEW_PASSWORD, AWAY) == 200
    assert page_log_in(owner.email, NEW_PASSWORD, THIRD, browser) == "in"


# --- new places are told of
