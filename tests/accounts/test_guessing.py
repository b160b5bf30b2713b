"""Guessing slows the guesser: one place at one account, one at many, many at one, without Redis."""

import threading
import time

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client

from accounts import guessing, known_places, tasks, throttles
from accounts.credentials import InvalidCredentials
from accounts.models import SecurityEvent
from accounts.security_events import Kind
from superagent.foundation import redis_client, tenancy
from tests.accounts.conftest import PASSWORD, Api
from tests.accounts.guessers import (
    AWAY,
    HERE,
    HOME,
    LONG,
    THIRD,
    api_log_in,
    attacked,
    guess,
    known_browser,
    limits,
    page_log_in,
)

__all__ = ["limits"]  # a fixture of every test


def test_who_guesses_waits_and_the_owner_from_elsewhere_does_not(owner):
    """M10: ten requests locked anyone out of the API, five out of the portal."""
    assert guess(owner.email, 5) == [401, 401, 401, 429, 429]
    assert api_log_in(owner.email) == 429  # even with the right password, from there
    assert api_log_in(owner.email, address=HOME) == 200
    assert page_log_in(owner.email, address=AWAY) == "in"


def test_pages_and_api_share_one_count_and_tell_the_time_to_wait(owner):
    """B28: “Try again later”, without a time."""
    guess(owner.email, 2)
    assert "not correct" in page_log_in(owner.email, "wrong")
    said = page_log_in(owner.email)
    assert "Too many failed attempts from your network. Try again in 34 hours." in said
    assert "To continue now, use a passkey or reset your password by email." in said
    assert api_log_in(owner.email) == 429
    answer = Api().post(
        "auth/login", {"email": owner.email, "password": PASSWORD}, **{"X-Forwarded-For": HERE}
    )
    assert (answer.json()["code"], 0 < int(answer["Retry-After"]) <= LONG / 3) == ("too_many_attempts", True)


def test_all_addresses_of_one_ipv6_network_are_one_guesser(owner):
    answers = [api_log_in(owner.email, "wrong", f"2001:db8:1:1::{i:x}") for i in range(1, 6)]
    assert answers == [401, 401, 401, 429, 429]
    wide = [api_log_in(owner.email, "wrong", f"2001:db8:1:{i:x}::1") for i in range(2, 9)]
    assert wide.count(401) == 3  # of the /48, twice as many as of a /64 in all


def test_a_right_guess_begins_anew_for_that_account_only(owner, stranger):
    guess(owner.email, 2)
    assert api_log_in(owner.email) == 200
    assert guess(owner.email, 4) == [401, 401, 401, 429]
    # The guesser's own login in between does not help against others.
    guess(stranger.email, 1)
    assert api_log_in(owner.email, address=HOME) == 200


def test_guesses_at_the_same_moment_are_all_counted(settings):
    compared: list[int] = []
    caller, start = guessing.Caller(HERE), threading.Barrier(12)

    def act() -> None:
        start.wait()
        try:
            with guessing.attempt(
                subject="a@b.example", user=None, caller=caller, kind=guessing.Kind.LOG_IN_FAILED
            ):
                compared.append(1)
                time.sleep(0.2)
                raise InvalidCredentials("wrong")
        except (InvalidCredentials, throttles.TooManyAttempts):  # only the number of comparisons counts
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(compared) == 3


def test_an_account_that_does_not_exist_is_limited_alike(owner):
    unknown, known = guess("nobody@acme.example", 5), guess(owner.email, 5, AWAY)
    assert unknown == known


# --- known browsers


def test_a_network_that_tries_many_accounts_waits(owner, stranger):
    assert [guess(f"p{i}@acme.example", 1)[0] for i in range(8)] == [401] * 6 + [429] * 2
    assert api_log_in(owner.email) == 429
    assert "Too many logins from your network have failed." in page_log_in(owner.email)
    assert api_log_in(owner.email, address=HOME) == 200


def test_who_has_logged_in_from_that_network_before_does_not_wait(owner, stranger):
    assert api_log_in(owner.email) == 200
    browser = known_browser(stranger, address=HOME)
    for i in range(8):
        guess(f"p{i}@acme.example", 1)
    assert api_log_in(owner.email) == 200
    assert page_log_in(owner.email) == "in"
    assert api_log_in(stranger.email) == 429
    assert page_log_in(stranger.email, browser=browser) == "in"


def test_the_guessers_own_log_ins_do_not_give_the_network_new_guesses(owner, stranger):
    for i in range(8):
        guess(f"p{i}@acme.example", 1)
        api_log_in(stranger.email)
    assert api_log_in(owner.email) == 429


# --- many networks, one account


def test_a_session_may_confirm_its_password_during_an_attack(owner, acme):
    browser = Client()
    page_log_in(owner.email, address=AWAY, browser=browser)
    del browser.cookies[known_places.COOKIE]
    attacked(owner)
    answer = browser.post(
        "/accounts/reauthenticate/", {"password": PASSWORD}, headers={"X-Forwarded-For": THIRD}
    )
    assert answer.status_code == 302


def test_the_flood_limit_of_a_network_does_not_hold_up_a_known_browser(owner, settings):
    browser = known_browser(owner, address=HERE)
    settings.THROTTLES = settings.THROTTLES | {"login": (1, LONG)}
    assert [
        Client().post("/accounts/login/", {}, headers={"X-Forwarded-For": HERE}).status_code for _ in range(2)
    ] == [200, 429]
    assert page_log_in(owner.email, browser=browser) == "in"
    passkey = Client().post("/accounts/2fa/webauthn/login/", headers={"X-Forwarded-For": HERE})
    assert passkey.status_code == 302  # back to the login, not 429


def test_without_redis_nobody_is_held_up(owner, monkeypatch):
    def lost() -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis_client, "connection", lost)
    assert guess(owner.email, 8) == [401] * 8
    assert api_log_in(owner.email) == 200


@pytest.mark.parametrize("caller", [guessing.Caller(HERE), guessing.Caller(HERE, "browser")])
def test_a_lost_database_is_no_wrong_guess(owner, caller):
    """Nobody has learned whether it was right: the owner must not wait for it, nor be told of a failed login."""
    attempt = {"subject": owner.email, "user": owner, "caller": caller, "kind": Kind.LOG_IN_FAILED}
    for _ in range(8):
        with pytest.raises(OperationalError), guessing.attempt(**attempt):
            raise OperationalError("the connection is lost")
    with guessing.attempt(**attempt):
        pass
    tasks.store_security_events()
    with tenancy.system("test"):
        assert not SecurityEvent.objects.exists()


def test_a_new_session_is_no_new_budget_of_guesses(owner, acme):
    """Who has stolen a session may guess the password no faster, whatever makes the session's key anew."""
    thief, here = Client(), {"X-Forwarded-For": HERE}
    page_log_in(owner.email, browser=thief)

    def confirm(password: str) -> HttpResponse:
        return thief.post("/accounts/reauthenticate/", {"password": password}, headers=here)

    for i in range(3):
        assert "Too many" not in confirm(f"wrong {i}").content.decode()
    assert "Too many failed attempts" in confirm("wrong").content.decode()
    session = thief.session
    session.cycle_key()
    thief.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert get_user(thief).is_authenticated
    assert "Too many failed attempts" in confirm(PASSWORD).content.decode()


def test_an_address_with_nul_is_no_address_in_a_known_browser_too(owner):
    browser = known_browser(owner)
    for address in ("\0", f"{owner.email}\0"):
        answer = browser.post("/accounts/login/", {"login": address, "password": PASSWORD})
        assert (answer.status_code, "Null characters" in answer.content.decode()) == (200, True)


# --- programs that log in by the API have no cookie (docs/decisions/0022)


def test_a_program_that_is_logged_in_goes_on_during_an_attack(owner):
    """Guesses hold up logins, not who is logged in: a refresh compares no password."""
    logged_in = Api().post(
        "auth/login", {"email": owner.email, "password": PASSWORD}, **{"X-Forwarded-For": HERE}
    )
    attacked(owner)
    guess(owner.email, 5)
    assert api_log_in(owner.email) == 429
    refreshed = Api().post(
        "auth/refresh",
        {"refresh_token": logged_in.json()["refresh_token"]},
        **{"X-Forwarded-For": HERE},
    )
    assert refreshed.status_code == 200


def test_a_log_in_on_the_page_lets_programs_of_that_network_in(owner):
    """The way in that the owner always has opens it for programs, whatever a botnet does."""
    browser = known_browser(owner, address=HOME)
    attacked(owner)
    assert api_log_in(owner.email, address=AWAY) == 429
    assert page_log_in(owner.email, address=AWAY, browser=browser) == "in"
    assert api_log_in(owner.email, address=AWAY) == 200
