"""JSON Web Tokens of the API: an access token for 30 minutes, a single-use refresh token for 7 days.

Claims: `sub` (user), `type`, `jti`, `iat`, `exp` and `sid`, the login that the token descends from (`TokenFamily`).
A family stores its one valid refresh token. Using an earlier one ends the family, because it must have been copied.
Logging out, a new password and closing the account end it too, access tokens included.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from rest_framework_simplejwt import tokens as jwt
from rest_framework_simplejwt.exceptions import TokenError

from accounts import audit, new_places
from accounts.models import TokenFamily, User
from superagent.foundation.problems import Refusal

FAMILY_CLAIM = "sid"
MAX_USER_AGENT_LENGTH = 200


ACCESS_LIFETIME = cast(timedelta, settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"])
REFRESH_LIFETIME = cast(timedelta, settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"])
FAMILY_LIFETIME = timedelta(days=30)  # however often it is refreshed


class InvalidToken(Refusal):
    status = HTTPStatus.UNAUTHORIZED
    code = "token_invalid"
    title = "This token is not valid"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class _RefreshToken(jwt.Token):
    token_type = "refresh"  # noqa: S105  # the kind of a token
    lifetime = REFRESH_LIFETIME


@dataclass(frozen=True, slots=True)
class Pair:
    access_token: str
    refresh_token: str
    expires_in: int  # seconds, of the access token
    token_type: str = "bearer"  # noqa: S105  # the kind of a token


def log_in(
    *, user: User, factors: Sequence[str] = (), ip_address: str | None, user_agent: str, now: datetime
) -> Pair:
    """Start a token family for a user who has just authenticated by `factors`. `now` is real time."""
    refresh = _refresh_token(user)
    family = TokenFamily(
        user=user,
        refresh_jti=refresh["jti"],
        password_stamp=user.get_session_auth_hash(),
        ip_address=ip_address,
        user_agent=user_agent[:MAX_USER_AGENT_LENGTH],
        created_at=now,
        refreshed_at=now,
    )
    refresh[FAMILY_CLAIM] = str(family.pk)
    with transaction.atomic():
        new_places.tell_of_network(user=user, address=ip_address, user_agent=user_agent, now=now)
        family.save(force_insert=True)
        User.objects.filter(pk=user.pk).update(last_login=now)
        audit.record(
            action="user.logged_in", actor=user, target=user, detail={"by": "api", "factors": list(factors)}
        )
    return _pair(refresh)


def refresh(*, refresh_token: str, now: datetime) -> Pair:
    """Exchange a refresh token for a new pair. An earlier token ends the family. Raises InvalidToken."""
    claims = _claims(_RefreshToken, refresh_token)
    with transaction.atomic():
        family = _family(claims, TokenFamily.objects.select_for_update(of=("self",)))
        if now >= family.created_at + FAMILY_LIFETIME:
            raise InvalidToken(f"The login is {FAMILY_LIFETIME.days} days old. Log in again.")
        is_reuse = not secrets.compare_digest(family.refresh_jti, str(claims["jti"]))
        if is_reuse:
            _revoke(family, action="user.refresh_token_reused", now=now)
        else:
            fresh = _refresh_token(family.user)
            fresh[FAMILY_CLAIM] = str(family.pk)
            family.refresh_jti, family.refreshed_at = fresh["jti"], now
            family.save(update_fields=["refresh_jti", "refreshed_at"])
    if is_reuse:
        raise InvalidToken("This refresh token was used before, so its login has been ended. Log in again.")
    return _pair(fresh)


def log_out(*, refresh_token: str, now: datetime) -> None:
    """End the token's family. Idempotent, also with an expired token. Raises InvalidToken."""
    claims = _claims(_RefreshToken, refresh_token)
    with transaction.atomic():
        family = (
            TokenFamily.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk=_uuid(claims[FAMILY_CLAIM]), user_id=_uuid(claims["sub"]), revoked_at__isnull=True)
            .first()
        )
        if family is not None:
            _revoke(family, action="user.logged_out", now=now)


def authenticate(access_token: str) -> TokenFamily:
    """Returns the family of a valid access token, with its user, in one query. Raises InvalidToken."""
    return _family(_claims(jwt.AccessToken, access_token), TokenFamily.objects.all())


def forget_expired(*, now: datetime) -> int:
    """Delete families whose newest refresh token has expired. Returns the number of families."""
    is_old = Q(refreshed_at__lt=now - REFRESH_LIFETIME) | Q(
        created_at__lt=now - FAMILY_LIFETIME - REFRESH_LIFETIME
    )
    return TokenFamily.objects.filter(is_old).delete()[0]


def _family(claims: dict[str, Any], families: Any) -> TokenFamily:
    family: TokenFamily | None = (
        families.select_related("user")
        .filter(pk=_uuid(claims[FAMILY_CLAIM]), user_id=_uuid(claims["sub"]))
        .first()
    )
    if family is None or family.revoked_at is not None or not family.user.is_active:
        raise InvalidToken("The login has ended. Log in again.")
    if not secrets.compare_digest(family.password_stamp, family.user.get_session_auth_hash()):
        raise InvalidToken("The password was changed. Log in again.")
    return family


def _revoke(family: TokenFamily, *, action: str, now: datetime) -> None:
    family.revoked_at = now
    family.save(update_fields=["revoked_at"])
    audit.record(action=action, actor=family.user, target=family.user)


def _claims(kind: type[jwt.Token], token: str) -> dict[str, Any]:
    """Returns the claims, after checking signature, type, expiry and required claims."""
    try:
        claims = kind(token).payload  # type: ignore[arg-type]  # it takes the encoded form
    except TokenError as error:
        raise InvalidToken(str(error)) from None
    if not {"sub", FAMILY_CLAIM} <= claims.keys():
        raise InvalidToken("The token lacks a claim.")
    return claims


def _uuid(value: Any) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidToken("The token names nobody.") from None


def _refresh_token(user: User) -> _RefreshToken:
    token = _RefreshToken()
    token["sub"] = str(user.pk)
    return token


def _pair(refresh_token: _RefreshToken) -> Pair:
    access = jwt.AccessToken()
    access["sub"], access[FAMILY_CLAIM] = refresh_token["sub"], refresh_token[FAMILY_CLAIM]
    return Pair(str(access), str(refresh_token), int(ACCESS_LIFETIME.total_seconds()))
