"""Who guesses, and who is the owner: logins from several places, for the tests of guessing."""

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts.conftest import PASSWORD, Api

HERE, HOME, AWAY, THIRD = "198.51.100.1", "203.0.113.9", "192.0.2.7", "192.0.2.99"
LONG = 360_000  # seconds: nothing comes back while a test runs
NEW_PASSWORD = "another horse on a mountain"


@pytest.fixture(autouse=True)
def limits(settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    settings.THROTTLES = settings.THROTTLES | {
        "login": (10_000, 60),
        "guess_pair": (3, LONG),
        "guess_device": (3, LONG),
        "guess_network": (6, LONG),
        "guess_account": (6, LONG),
    }


def api_log_in(email: str, password: str = PASSWORD, address: str = HERE, **more: str) -> int:
    body = {"email": email, "password": password} | more
    return Api().post("auth/login", body, **{"X-Forwarded-For": address}).status_code


def page_log_in(
    email: str, password: str = PASSWORD, address: str = HERE, browser: Client | None = None
) -> str:
    """ "in", or what the page says."""
    answer = (browser or Client()).post(
        "/accounts/login/", {"login": email, "password": password}, headers={"X-Forwarded-For": address}
    )
    return "in" if answer.status_code == 302 else answer.content.decode()


def known_browser(user: User, password: str = PASSWORD, address: str = HOME) -> Client:
    """A browser with which the person has logged in and out."""
    browser = Client()
    assert page_log_in(user.email, password, address, browser) == "in"
    browser.post("/accounts/logout/", headers={"X-Forwarded-For": address})
    return browser


def guess(email: str, times: int, address: str = HERE) -> list[int]:
    return [api_log_in(email, f"wrong {i}", address) for i in range(times)]


def attacked(user: User) -> None:
    for i in range(8):
        guess(user.email, 1, f"192.0.2.{100 + i}")
