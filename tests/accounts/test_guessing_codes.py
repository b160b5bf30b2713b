"""Codes of a second step are guessed no faster than passwords, and apart from them."""

import time

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client

from accounts.models import User
from tests.accounts.guessers import AWAY, HERE, HOME, THIRD, api_log_in, known_browser, limits, page_log_in

__all__ = ["limits"]  # a fixture of every test


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
