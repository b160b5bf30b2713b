"""Guessing slows the guesser: not the owner from elsewhere, from a known browser or network, by mail or by passkey."""

import threading
import time

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core import signing
from django.db import connection
from django.test import Client

from accounts import guessing, known_places, mail_links
from accounts.models import User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
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


# --- one guesser


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
    assert "A passkey, or a new password by mail, works at once." in said
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
    # The guesser's own log-in in between does not help against others.
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
                raise ValueError
        except Exception:  # noqa: BLE001  # refused or wrong: only the number of comparisons counts
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


def test_a_network_that_tries_many_accounts_waits(owner, stranger):
    assert [guess(f"p{i}@acme.example", 1)[0] for i in range(8)] == [401] * 6 + [429] * 2
    assert api_log_in(owner.email) == 429
    assert "Too many log-ins from your network have failed." in page_log_in(owner.email)
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


def attacked(user: User) -> None:
    for i in range(8):
        guess(user.email, 1, f"192.0.2.{100 + i}")


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
    assert passkey.status_code == 302  # back to the log-in, not 429


# --- codes


def with_codes(user: User) -> tuple[str, str]:
    """The secret of the authenticator app, and a recovery code."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    codes = RecoveryCodes.activate(user).get_unused_codes()
    return secret, codes[0]


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_wrong_codes_are_limited_by_network_on_pages_and_api_alike(owner):
    secret, recovery_code = with_codes(owner)
    assert [api_log_in(owner.email, otp="000000") for _ in range(2)] == [401, 401]
    browser = Client()
    page_log_in(owner.email, browser=browser)
    here = {"X-Forwarded-For": HERE}
    assert (
        "Incorrect code"
        in browser.post("/accounts/2fa/authenticate/", {"code": "000000"}, headers=here).content.decode()
    )
    said = browser.post(
        "/accounts/2fa/authenticate/", {"code": code_of(secret)}, headers=here
    ).content.decode()
    assert "Too many failed attempts from your network. Try again in" in said
    assert api_log_in(owner.email, otp=recovery_code) == 429
    assert api_log_in(owner.email, otp=recovery_code, address=HOME) == 200


def test_who_knows_the_password_cannot_lock_the_owners_second_step(owner):
    browser = known_browser(owner)
    secret, recovery_code = with_codes(owner)
    for i in range(8):
        api_log_in(owner.email, otp="000000", address=f"192.0.2.{100 + i}")
    for where, address, code in ((browser, AWAY, code_of(secret)), (Client(), HOME, recovery_code)):
        page_log_in(owner.email, address=address, browser=where)
        step = where.post("/accounts/2fa/authenticate/", {"code": code}, headers={"X-Forwarded-For": address})
        assert step.status_code == 302
    stranger = Client()
    page_log_in(owner.email, address=THIRD, browser=stranger)
    step = stranger.post("/accounts/2fa/authenticate/", {"code": "1"}, headers={"X-Forwarded-For": THIRD})
    assert "from many networks" in step.content.decode()


def test_a_code_that_is_missing_is_no_guess(owner):
    with_codes(owner)
    assert [api_log_in(owner.email) for _ in range(6)] == [401] * 6


def test_without_redis_nobody_is_held_up(owner, monkeypatch):
    import redis

    from superagent.foundation import redis_client

    def lost() -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis_client, "connection", lost)
    assert guess(owner.email, 8) == [401] * 8
    assert api_log_in(owner.email) == 200


# --- new places are told of


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
    assert "with a browser that was not used for it before" in notice["notice"]
    assert (notice["ip_address"], notice["browser"]) == (AWAY, "Unknown")


def test_a_log_in_of_the_api_from_a_new_network_is_mailed(owner):
    api_log_in(owner.email, address=HOME)
    api_log_in(owner.email, address=HOME)
    assert notices(owner) == []
    api_log_in(owner.email, address=AWAY)
    api_log_in(owner.email, address=AWAY)
    (notice,) = notices(owner)
    assert "through the API, from a network that was not used for it before" in notice["notice"]


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
