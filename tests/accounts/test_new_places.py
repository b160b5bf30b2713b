"""Logins from a new browser or network are mailed, a few a day."""

from django.test import Client

from accounts.models import User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD
from tests.accounts.guessers import AWAY, HOME, api_log_in, guess, known_browser, limits, page_log_in

__all__ = ["limits"]  # fixtures


def notices(user: User) -> list[dict[str, str]]:
    with tenancy.system("test"):
        sent = OutboxMessage.objects.filter(topic="accounts.send_mail").order_by("id")
        return [
            mail.payload["context"]
            for mail in sent
            if mail.payload["template"].endswith("security_notice") and mail.payload["to"] == [user.email]
        ]


def test_a_log_in_with_a_new_browser_is_mailed_but_not_the_first_one(owner):
    browser = known_browser(owner)
    assert notices(owner) == []
    assert page_log_in(owner.email, address=AWAY, browser=browser) == "in"
    assert notices(owner) == []
    page_log_in(owner.email, address=AWAY)
    (notice,) = notices(owner)
    assert "from a browser that was not used before" in notice["notice"]
    assert (notice["ip_address"], notice["browser"]) == (AWAY, "Unknown")


def test_a_log_in_of_the_api_from_a_new_network_is_mailed(owner):
    api_log_in(owner.email, address=HOME)
    api_log_in(owner.email, address=HOME)
    assert notices(owner) == []
    api_log_in(owner.email, address=AWAY)
    api_log_in(owner.email, address=AWAY)
    (notice,) = notices(owner)
    assert "through the API from a network that was not used before" in notice["notice"]


def test_mails_of_new_places_are_few(owner):
    for i in range(9):
        api_log_in(owner.email, address=f"192.0.2.{i}")
    assert len(notices(owner)) == 5


def test_a_notice_holds_no_text_of_the_user_agent(owner):
    known_browser(owner)
    trick = "Mozilla (call 555-1234 at http://evil.example)"
    Client(headers={"User-Agent": trick}).post(
        "/accounts/login/", {"login": owner.email, "password": PASSWORD}
    )
    (notice,) = notices(owner)
    assert notice["browser"] == "Unknown"


def test_a_failed_log_in_is_no_new_place(owner):
    known_browser(owner)
    guess(owner.email, 2, AWAY)
    page_log_in(owner.email, "wrong", AWAY)
    assert notices(owner) == []
