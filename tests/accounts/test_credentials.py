import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value

from accounts import credentials
from accounts.credentials import InvalidCredentials, OtpInvalid, OtpRequired
from accounts.guessing import Caller
from tests.accounts.conftest import PASSWORD


def verify(email, password=PASSWORD, otp=""):
    return credentials.verify(email=email, password=password, otp=otp, caller=Caller("127.0.0.1")).user


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


@pytest.fixture
def secret(owner) -> str:
    made = generate_totp_secret()
    TOTP.activate(owner, made)
    RecoveryCodes.activate(owner)
    return made


def test_verify_whatever_the_case_of_the_address(owner):
    assert verify("OLGA@acme.example ") == owner


def test_unknown_wrong_and_closed_get_one_answer(owner, stranger):
    stranger.is_active = False
    stranger.save()
    answers = set()
    for email, password in (
        ("nobody@acme.example", PASSWORD),
        (owner.email, "wrong"),
        (stranger.email, PASSWORD),
    ):
        with pytest.raises(InvalidCredentials) as refused:
            verify(email, password)
        answers.add((refused.value.status, refused.value.code, refused.value.detail))
    assert len(answers) == 1


def test_an_unknown_address_costs_as_much_as_a_wrong_password(owner, settings):
    """In time of the processor, which other work on the machine does not change."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
    owner.set_password(PASSWORD)
    owner.save()

    def seconds(email: str) -> float:
        begun = time.thread_time()
        with pytest.raises(InvalidCredentials):
            verify(email, "wrong")
        return time.thread_time() - begun

    known = min(seconds(owner.email) for _ in range(3))
    unknown = min(seconds("nobody@acme.example") for _ in range(3))
    assert 0.5 < known / unknown < 2


def test_two_step_log_in(owner, secret):
    with pytest.raises(OtpRequired):
        verify(owner.email)
    with pytest.raises(OtpInvalid):
        verify(owner.email, otp="000000x")
    assert verify(owner.email, otp=code_of(secret)) == owner


def test_a_code_is_good_once(owner, secret):
    code = code_of(secret)
    verify(owner.email, otp=code)
    with pytest.raises(OtpInvalid):
        verify(owner.email, otp=code)


def test_a_recovery_code_is_good_once(owner, secret):
    code = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    assert verify(owner.email, otp=code) == owner
    with pytest.raises(OtpInvalid):
        verify(owner.email, otp=code)


def test_a_wrong_password_never_asks_for_a_code(owner, secret):
    with pytest.raises(InvalidCredentials):
        verify(owner.email, "wrong", otp=code_of(secret))


def test_secrets_of_second_factors_are_encrypted_at_rest(owner, secret):
    assert secret not in str(Authenticator.objects.get(type="totp").data)
