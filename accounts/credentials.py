"""Authentication for API logins: email address, password and, if the account has one, a second factor."""

from dataclasses import dataclass
from http import HTTPStatus

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator

from accounts import email_addresses, factors, guessing
from accounts.guessing import Caller
from accounts.models import User
from accounts.security_events import Kind
from superagent.foundation.problems import FieldError, Refusal

CODE_TYPES = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


class InvalidCredentials(Refusal):
    """The same for an unknown address, a wrong password and a closed account, so that it reveals none of them."""

    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_credentials"
    title = "The email address or the password is wrong"


class OtpRequired(Refusal):
    status = HTTPStatus.UNAUTHORIZED
    code = "otp_required"
    title = "This account has two-step login"


class OtpInvalid(Refusal):
    status = HTTPStatus.UNAUTHORIZED
    code = "otp_invalid"
    title = "The code is wrong or has already been used"


@dataclass(frozen=True, slots=True)
class Proven:
    """The authenticated user and the factors that were verified, as `factors` names them."""

    user: User
    factors: tuple[str, ...]


def verify(*, email: str, password: str, otp: str, caller: Caller) -> Proven:
    """Authenticate a user. Takes the time of one password hash whether or not the user exists.

    Raises InvalidCredentials, OtpRequired, OtpInvalid and throttles.TooManyAttempts.
    """
    email = email_addresses.normalized(email)
    user = User.objects.filter(email=email).first()
    with guessing.attempt(subject=email, user=user, caller=caller, kind=Kind.LOG_IN_FAILED):
        user = _verify_password(user, password)
    if get_adapter().is_mfa_enabled(user):
        return Proven(user, (factors.PASSWORD, _verify_second_factor(user, otp, caller)))
    return Proven(user, (factors.PASSWORD,))


def code_subject(user: User) -> str:
    """Returns the subject that wrong second-factor codes are counted for."""
    return f"code:{user.pk}"


def _verify_password(user: User | None, password: str) -> User:
    if user is None:
        User().set_password(password)  # the same work as a comparison
        raise InvalidCredentials("Check both, or reset your password.")
    if not user.check_password(password) or not user.is_active:
        raise InvalidCredentials("Check both, or reset your password.")
    return user


def _verify_second_factor(user: User, otp: str, caller: Caller) -> str:
    """Returns the factor that was verified."""
    if not otp:
        detail = "Send `otp` as well: the code of the authenticator app, or a recovery code."
        raise OtpRequired(detail, errors=[FieldError("/otp", "required", detail)])
    with guessing.attempt(subject=code_subject(user), user=user, caller=caller, kind=Kind.CODE_FAILED):
        for authenticator in Authenticator.objects.filter(user_id=user.pk, type__in=CODE_TYPES):
            if authenticator.wrap().validate_code(otp):
                authenticator.record_usage()
                return factors.OF_AUTHENTICATOR[authenticator.type]
        detail = "Send the code that the authenticator app shows now, or an unused recovery code."
        raise OtpInvalid(detail, errors=[FieldError("/otp", "invalid", detail)])
