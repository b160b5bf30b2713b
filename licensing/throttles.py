"""How often a license key, and an address, may ask: counted in Redis for each minute. Without Redis everyone may.

A key may ask often, for a panel asks before each action. An address that asks for keys that nobody has may not: that
is a guess or a broken configuration, and each costs a look-up.
"""

import hashlib
import time

import structlog
from django.conf import settings

from superagent.foundation import redis_client

WINDOW_SECONDS = 60

# Counts a question of the address and of the key; 1 when one of them, or the address's unknown keys, is over its limit.
_ASK = """
local address = redis.call('INCR', KEYS[1])
if address == 1 then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
local key = redis.call('INCR', KEYS[2])
if key == 1 then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
local unknown = tonumber(redis.call('GET', KEYS[3]) or '0')
if address > tonumber(ARGV[1]) or key > tonumber(ARGV[2]) or unknown >= tonumber(ARGV[3]) then return 1 end
return 0
"""

log = structlog.get_logger(__name__)


def wait_seconds(*, license_key: str, address: str) -> int:
    """Count one question; 0 when it may be answered, else after how many seconds to ask again."""
    window, elapsed = divmod(int(time.time()), WINDOW_SECONDS)
    names = [
        _name("address", address, window),
        _name("key", _digest(license_key), window),
        _unknown(address, window),
    ]
    limits = [
        settings.LICENSE_QUESTIONS_PER_ADDRESS,
        settings.LICENSE_QUESTIONS_PER_KEY,
        settings.LICENSE_UNKNOWN_PER_ADDRESS,
    ]
    try:
        is_closed = redis_client.connection().eval(_ASK, len(names), *names, *limits, WINDOW_SECONDS)
    except redis_client.LOST as error:
        log.error("license_throttle_open", error=str(error))
        return 0
    return WINDOW_SECONDS - elapsed if is_closed else 0


def count_unknown(*, address: str) -> None:
    """`address` asked for a key that nobody has."""
    name = _unknown(address, int(time.time()) // WINDOW_SECONDS)
    try:
        pipe = redis_client.connection().pipeline(transaction=False)
        pipe.incr(name)
        pipe.expire(name, WINDOW_SECONDS)
        pipe.execute()
    except redis_client.LOST as error:
        log.error("license_throttle_open", error=str(error))


def _unknown(address: str, window: int) -> str:
    return _name("unknown", address, window)


def _name(kind: str, subject: str, window: int) -> str:
    return f"license-questions:{kind}:{subject}:{window}"


def _digest(license_key: str) -> str:
    return hashlib.sha256(license_key.encode()).hexdigest()[:32]
