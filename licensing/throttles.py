"""How often a license key may ask, and a network for keys that nobody has. Without Redis everybody may.

A key may ask often, for a panel asks before each action; only its own questions count against it. A network that asks
for keys that nobody has is guessing, or has a broken configuration: that counts for such keys alone. A panel with a
good key is answered wherever it runs, whatever its neighbors do.
"""

from http import HTTPStatus

from django.conf import settings

from licensing import keys, validation
from superagent.foundation import rate_limits
from superagent.foundation.problems import Refusal
from superagent.foundation.rate_limits import Balance, Limit, Use


class AskedTooOften(Refusal):
    """Nothing was said about the license: a panel keeps its last answer and asks again after Retry-After."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"
    title = "Asked too often: keep the last answer"

    def __init__(self, why: str, balance: Balance) -> None:
        wait = max(balance.wait_seconds, 1)
        super().__init__(
            f"{why} Keep the last answer and ask again in {wait} seconds.",
            headers={"Retry-After": str(wait)} | balance.headers(),
        )


def admit(*, license_key: str, address: str | None) -> dict[str, str]:
    """Count one question of `license_key`; return the headers that tell its limit.

    Raises AskedTooOften for a key over its limit, and for an unknown one from a network that asked for too many.
    """
    looks = _unknown(address, units=0)
    try:
        digest = keys.digest(keys.canonical(license_key))
    except keys.InvalidKeyFormat:
        _refuse_guesses(rate_limits.take(*looks))
        return {}
    balance, *guesses = rate_limits.take(Use(_per_key(), digest.hex()[:32]), *looks)
    if not balance.is_allowed:
        raise AskedTooOften(f"This key asked {balance.limit.quantity} times within a minute.", balance)
    if not all(guess.is_allowed for guess in guesses) and not validation.is_known(digest):
        _refuse_guesses(guesses)
    return balance.headers()


def count_unknown(*, address: str | None) -> None:
    """`address` asked for a key that nobody has."""
    rate_limits.take(*_unknown(address, units=1))


def _refuse_guesses(guesses: list[Balance]) -> None:
    for guess in guesses:
        if not guess.is_allowed:
            raise AskedTooOften(
                "Too many questions came from this network for keys that no license has.", guess
            )


def _per_key() -> Limit:
    return Limit("key", settings.LICENSE_QUESTIONS_PER_KEY)


def _unknown(address: str | None, units: int) -> list[Use]:
    limit = Limit("unknown-keys", settings.LICENSE_UNKNOWN_PER_NETWORK)
    return rate_limits.network_uses(limit, address, units=units)
