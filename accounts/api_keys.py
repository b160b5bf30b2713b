"""API keys: `sa_test_…` or `sa_live_…`, then 256 random bits in letters and digits. Only the SHA-256 is stored.

A request usually needs no query: the key's scopes are cached in Redis under `key:{sha256}` for five minutes
(`key_records`). Revoking overwrites the record with a tombstone, so that a process that read the database just before
cannot put the old record back. Without Redis, PostgreSQL is asked every time.
"""

import hashlib
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts import audit, key_notices, key_records, people
from accounts.models import ApiKey, Membership, Organization, User
from accounts.principals import Principal
from accounts.roles import SCOPES_OF_ROLE, Scope, allows
from superagent.foundation import outbox, tenancy
from superagent.foundation.problems import Forbidden, Invalid, NotFound, Refusal

GRACE_PERIODS = {
    0: timedelta(0),
    900: timedelta(minutes=15),
    3_600: timedelta(hours=1),
    21_600: timedelta(hours=6),
    86_400: timedelta(hours=24),
}
PORTAL_LIFETIME = timedelta(days=90)
UNUSED_AFTER = timedelta(days=90)
MAX_KEYS = 100
PREFIXES = ("sa_test_", "sa_live_")
ALPHABET = string.ascii_letters + string.digits  # a double click selects the whole key
RANDOM_CHARACTERS = 43  # 256 bits
SHOWN_CHARACTERS = 4  # of the random part, before and after the dots

log = structlog.get_logger(__name__)


class InvalidKey(Refusal):
    status = HTTPStatus.UNAUTHORIZED
    code = "invalid_api_key"
    title = "This API key is not valid"


class KeyAlreadyRotated(Refusal):
    code = "api_key_already_rotated"
    title = "This API key has already been rotated"


class KeyRevoked(Refusal):
    code = "api_key_revoked"
    title = "This API key no longer works"


class TooManyKeys(Refusal):
    code = "too_many_api_keys"
    title = "The organization has reached its limit of API keys"


class ScopeNotAllowed(Forbidden):
    code = "scope_not_allowed"
    title = "A key cannot have more scopes than its creator"


def digest(plain_text: str) -> bytes:
    return hashlib.sha256(plain_text.encode()).digest()


def create(
    *,
    organization: Organization,
    name: str,
    scopes: Sequence[str],
    created_by: User | None,
    expires_at: datetime | None,
    now: datetime,
    created_with: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create a key. Returns it with its plain text, which is not stored. `now` is real time.

    The creator is the member `created_by`, or the API key with the id `created_with`, whose own creator is recorded as
    the new key's, too; without either, it is the system. The creator's scopes are read under the organization's lock,
    so that rights taken away just now no longer count.

    Raises ScopeNotAllowed, InvalidKey, TooManyKeys, people.EmailNotVerified, and Invalid for an empty list of scopes or
    a time that has passed.
    """
    wanted = _checked_scopes(scopes)
    if expires_at is not None and expires_at <= now:
        raise Invalid.field("/expires_at", "in_the_past", "Choose a time in the future.")
    with transaction.atomic():
        creator = _locked_creator(organization, created_by, created_with, now)
        creator.check_may_grant(wanted)
        usable = ApiKey.objects.visible_to(organization).usable(now)
        if usable.count() >= MAX_KEYS:
            raise TooManyKeys(f"Revoke one of the {MAX_KEYS} keys that you no longer need.")
        key, plain_text = _issue(
            organization=organization,
            name=name,
            scopes=wanted,
            created_by=creator.person,
            expires_at=expires_at,
            now=now,
        )
        entry = audit.record(
            action="api_key.created",
            organization=organization,
            actor=creator.actor,
            target=key,
            detail={"scopes": wanted, "expires_at": expires_at.isoformat() if expires_at else None},
        )
        key_notices.tell(key=key, entry=entry)
    return key, plain_text


def rotate(
    *,
    organization: Organization,
    key_id: UUID,
    grace: timedelta,
    rotated_by: User | None,
    now: datetime,
    rotated_with: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create a successor with the same name, scopes and lifetime; the old key keeps working for `grace`.

    `now` is real time. `rotated_by` and `rotated_with` are as in `create`. Raises NotFound, KeyRevoked,
    KeyAlreadyRotated, ScopeNotAllowed, InvalidKey.
    """
    _check_grace(grace)
    with transaction.atomic():
        creator = _locked_creator(organization, rotated_by, rotated_with, now)
        old = _locked(organization, key_id)
        if not old.is_usable(now):
            raise KeyRevoked("This key was revoked or has expired. Create a new one.")
        if ApiKey.objects.filter(rotated_from=old).exists():
            raise KeyAlreadyRotated("Rotate its successor instead.")
        creator.check_may_grant(old.scopes)
        lifetime = old.expires_at - old.created_at if old.expires_at else None
        key, plain_text = _issue(
            organization=organization,
            name=old.name,
            scopes=old.scopes,
            created_by=creator.person,
            expires_at=now + lifetime if lifetime else None,
            now=now,
            rotated_from=old,
        )
        if grace:
            old.expires_at = min(old.expires_at or now + grace, now + grace)
        else:
            old.revoked_at = now
        old.save(update_fields=["expires_at", "revoked_at"])
        _publish(old)
        entry = audit.record(
            action="api_key.rotated",
            organization=organization,
            actor=creator.actor,
            target=old,
            detail={"successor": str(key.pk), "grace_seconds": int(grace.total_seconds())},
        )
        key_notices.tell(key=old, entry=entry)
    return key, plain_text


def _check_grace(grace: timedelta) -> None:
    if grace not in GRACE_PERIODS.values():
        choices = ", ".join(str(seconds) for seconds in GRACE_PERIODS)
        raise Invalid.field("/grace_seconds", "invalid_choice", f"Choose one of {choices} seconds.")


def revoke(
    *,
    organization: Organization,
    key_id: UUID,
    revoked_by: User | None,
    now: datetime,
    reason: str = "",
    notifies: bool = True,
) -> ApiKey:
    """Revoke a key, with immediate effect on every process. Idempotent. Raises NotFound.

    `notifies` mails its creator, owners and admins; False where one mail lists many keys.
    """
    with transaction.atomic():
        key = _locked(organization, key_id)
        if key.revoked_at is None:
            key.revoked_at = now
            key.save(update_fields=["revoked_at"])
            _publish(key)
            entry = audit.record(
                action="api_key.revoked",
                organization=organization,
                actor=revoked_by,
                target=key,
                detail={"reason": reason} if reason else {},
            )
            if notifies:
                key_notices.tell(key=key, entry=entry)
    return key


def resolve(plain_text: str) -> Principal:
    """Returns the principal of a key, usually from Redis. Raises InvalidKey. Expiry is by real time."""
    if not plain_text.startswith(PREFIXES):
        raise InvalidKey("API keys start with sa_test_ or sa_live_.")
    key_hash = digest(plain_text)
    stored = key_records.read(key_hash)
    return principal_of(stored if stored is not None else _load(key_hash))


def principal_of(stored: bytes) -> Principal:
    """Returns the principal of a cached record, for callers that read `key:{sha256}` in their own script.

    Raises InvalidKey for a tombstone, an unknown or an expired key.
    """
    record = key_records.parse(stored)
    if record is None:
        raise InvalidKey("The key is unknown or was revoked.")
    if record.expires_at is not None and record.expires_at <= timezone.now():
        raise InvalidKey("The key has expired.")
    return record.principal


def publish_all(*, organization: Organization) -> None:
    """Refresh the organization's cached keys after the transaction: its clock has changed. In the system scope."""
    for key in ApiKey.objects.filter(organization=organization).usable(timezone.now()):
        _publish(key)


def publish(key_id: UUID) -> None:
    """Overwrite a key's record in Redis from PostgreSQL. Raises LOST when Redis is down."""
    with tenancy.system("an API key names its organization"):
        key = ApiKey.objects.select_related("organization").filter(pk=key_id).first()
    if key is not None:
        key_records.write(bytes(key.key_hash), _record(key))


def record_uses(*, uses: dict[UUID, datetime]) -> int:
    """Write when keys were last used, in one statement. Returns the number of keys. Call it in the system scope."""
    if not uses:
        return 0
    table = connection.ops.quote_name(ApiKey._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} AS k SET last_used_at = greatest(k.last_used_at, u.at) "  # noqa: S608  # our own table
            "FROM unnest(%s::uuid[], %s::timestamptz[]) AS u(id, at) WHERE k.id = u.id",
            [list(uses.keys()), list(uses.values())],
        )
        return cursor.rowcount


def _publish(key: ApiKey) -> None:
    """Right after the commit; and through the outbox, in case this process dies or Redis is down then."""
    outbox.enqueue(
        topic="accounts.publish_api_key",
        payload={"api_key": str(key.pk)},
        organization_id=key.organization_id,
    )
    transaction.on_commit(lambda: _publish_now(key.pk))


def _publish_now(key_id: UUID) -> None:
    try:
        publish(key_id)
    except key_records.LOST as error:
        log.warning("api_key_not_published", api_key=str(key_id), error=str(error))


def _load(key_hash: bytes) -> bytes:
    with tenancy.system("an API key names its organization"):
        key = ApiKey.objects.select_related("organization").filter(key_hash=key_hash).first()
    if key is None:
        return key_records.TOMBSTONE
    record = _record(key)
    key_records.offer(key_hash, record)
    return record


def _record(key: ApiKey) -> bytes:
    if key.revoked_at is not None:
        return key_records.TOMBSTONE
    return key_records.dump(key)


def _issue(
    *,
    organization: Organization,
    name: str,
    scopes: Sequence[str],
    created_by: User | None,
    expires_at: datetime | None,
    now: datetime,
    rotated_from: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    start = "sa_live_" if organization.livemode else "sa_test_"
    plain_text = start + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    key = ApiKey.objects.create(
        organization=organization,
        name=name,
        prefix=plain_text[: len(start) + SHOWN_CHARACTERS],
        last_four=plain_text[-SHOWN_CHARACTERS:],
        key_hash=digest(plain_text),
        scopes=list(scopes),
        created_by=created_by,
        rotated_from=rotated_from,
        created_at=now,
        expires_at=expires_at,
    )
    return key, plain_text


def _locked(organization: Organization, key_id: UUID) -> ApiKey:
    key = ApiKey.objects.visible_to(organization).select_for_update(no_key=True).filter(pk=key_id).first()
    if key is None:
        raise NotFound("There is no such API key.")
    return key


@dataclass(frozen=True, slots=True)
class _Creator:
    person: User | None  # recorded as `created_by`
    actor: User | None  # for the audit trail; None: the principal of the request, such as an API key
    scopes: frozenset[str]

    def check_may_grant(self, wanted: Sequence[str]) -> None:
        """Raises ScopeNotAllowed."""
        if missing := [scope for scope in wanted if scope not in self.scopes]:
            raise ScopeNotAllowed(
                f"You may not grant {', '.join(missing)}: your own access does not include it."
            )


def _locked_creator(
    organization: Organization, person: User | None, created_with: UUID | None, now: datetime
) -> _Creator:
    """Returns who creates a key, with the organization locked, because changes of roles lock it, too.

    Raises InvalidKey, and people.EmailNotVerified: the real owner of an unconfirmed address may take over the account,
    and the keys would remain.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if created_with is not None:
        key = (
            ApiKey.objects.visible_to(organization)
            .select_related("created_by")
            .filter(pk=created_with)
            .first()
        )
        if key is None or not key.is_usable(now):
            raise InvalidKey("The key is unknown, has expired or was revoked.")
        if key.created_by is not None:
            people.require_verified(key.created_by)
        return _Creator(person=key.created_by, actor=None, scopes=frozenset(key.scopes))
    if person is not None:
        people.require_verified(person)
        membership = Membership.objects.visible_to(organization).filter(user=person).first()
        role = membership.role if membership else ""
        scopes = SCOPES_OF_ROLE[role] if allows(role, Scope.KEYS_WRITE) else frozenset()
        return _Creator(person=person, actor=person, scopes=scopes)
    return _Creator(person=None, actor=None, scopes=frozenset(Scope))


def _checked_scopes(scopes: Sequence[str]) -> list[str]:
    """Returns the scopes in the order of `Scope`. Raises Invalid for unknown, repeated or no scopes."""
    wanted = [scope.value for scope in Scope if scope in scopes]
    if not wanted or len(set(scopes)) != len(wanted):
        raise Invalid.field("/scopes", "invalid_choice", f"Choose at least one of {', '.join(Scope.values)}.")
    return wanted
