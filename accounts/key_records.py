"""The cache of API keys in Redis, so that a request needs no query. `api_keys` decides what is written.

`key:{sha256 hex}` → JSON {id, organization, scopes, expires_at, livemode, test_clock_time, name}, or `TOMBSTONE`.
`key-uses` → a hash of key id → unix time of its last use, emptied into PostgreSQL by a job every minute.
"""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import structlog

from accounts.models import ApiKey
from accounts.principals import Principal
from superagent.foundation import redis_client
from superagent.foundation.redis_client import LOST

TTL_SECONDS = 300
TOMBSTONE = b'{"revoked":true}'
USES = "key-uses"
USE_INTERVAL_SECONDS = 60
MAX_REMEMBERED_USES = 10_000

# A live record never replaces a tombstone: when two writers race, a revoked key stays revoked.
_WRITE_LIVE = """
if redis.call('GET', KEYS[1]) == ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""

log = structlog.get_logger(__name__)
_recent_uses: dict[UUID, float] = {}  # per process, so that each key is written to Redis once a minute


@dataclass(frozen=True, slots=True)
class CachedKey:
    principal: Principal
    expires_at: datetime | None


def name_of(key_hash: bytes) -> str:
    return f"key:{key_hash.hex()}"


def read(key_hash: bytes) -> bytes | None:
    """Returns the cached record; None if there is none or Redis is down."""
    try:
        return cast(bytes | None, redis_client.connection().get(name_of(key_hash)))
    except LOST as error:
        log.warning("api_key_cache_lost", error=str(error))
        return None


def offer(key_hash: bytes, record: bytes) -> None:
    """Cache what was read from PostgreSQL, unless a record exists: that one is at least as new."""
    try:
        redis_client.connection().set(name_of(key_hash), record, ex=TTL_SECONDS, nx=True)
    except LOST as error:
        log.warning("api_key_cache_lost", error=str(error))


def write(key_hash: bytes, record: bytes) -> None:
    """Overwrite the record. Raises LOST when Redis is down."""
    connection = redis_client.connection()
    if record == TOMBSTONE:
        connection.set(name_of(key_hash), record, ex=TTL_SECONDS)
    else:
        connection.eval(_WRITE_LIVE, 1, name_of(key_hash), record, TTL_SECONDS, TOMBSTONE)


def dump(key: ApiKey) -> bytes:
    organization = key.organization
    return json.dumps(
        {
            "id": str(key.pk),
            "organization": str(organization.pk),
            "scopes": key.scopes,
            "expires_at": key.expires_at.timestamp() if key.expires_at else None,
            "livemode": organization.livemode,
            "test_clock_time": organization.test_clock_time.timestamp()
            if organization.test_clock_time
            else None,
            "name": str(key),
        }
    ).encode()


def parse(stored: bytes) -> CachedKey | None:
    """Returns the cached key, or None for a tombstone."""
    if stored == TOMBSTONE:
        return None
    fields = json.loads(stored)
    principal = Principal(
        organization_id=UUID(fields["organization"]),
        user_id=None,
        api_key_id=UUID(fields["id"]),
        scopes=frozenset(fields["scopes"]),
        label=fields["name"],
        livemode=fields["livemode"],
        test_clock_time=_time(fields["test_clock_time"]),
    )
    return CachedKey(principal, _time(fields["expires_at"]))


def note_use(key_id: UUID | None) -> None:
    """Note that a key was used, at most once a minute for each process and key; skipped when Redis is down."""
    if key_id is None:
        return
    now = time.time()
    if now - _recent_uses.get(key_id, 0) < USE_INTERVAL_SECONDS:
        return
    if len(_recent_uses) >= MAX_REMEMBERED_USES:
        _recent_uses.clear()
    _recent_uses[key_id] = now
    try:
        redis_client.connection().hset(USES, str(key_id), int(now))
    except LOST as error:
        log.warning("api_key_use_not_noted", error=str(error))


def take_uses() -> dict[UUID, datetime]:
    """Returns and clears the uses noted since the last call. Raises LOST when Redis is down."""
    pipe = redis_client.connection().pipeline(transaction=True)
    pipe.hgetall(USES)
    pipe.delete(USES)
    uses: dict[bytes, bytes] = pipe.execute()[0]
    return {UUID(key_id.decode()): datetime.fromtimestamp(int(at), UTC) for key_id, at in uses.items()}


def _time(timestamp: Any) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
