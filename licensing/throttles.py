"""Rate limits of the license API: requests by license key, and requests for unknown keys by network.

The limit of a key is high, because panels ask before each action. A network that sends unknown keys is guessing, or
misconfigured; its limit applies to unknown keys only, so that its other panels are not affected.
Without Redis nothing is limited.
"""

from http import HTTPStatus

from django.conf import settings

from licensing import keys, validation
from superagent.foundation import rate_limits
from superagent.foundation.problems import Refusal
from superagent.foundation.rate_limits import Balance, Limit, Use


class AskedTooOften(Refusal):
    """Says nothing about the license: a panel keeps the last response and asks again after Retry-After."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"
    title = "Too many requests: keep the last response"

    def __init__(self, why: str, balance: Balance) -> None:
        wait = max(balance.wait_seconds, 1)
        super().__init__(
            f"{why} Keep the last response and try again in {wait} seconds.",
            headers={"Retry-After": str(wait)} | balance.headers(),
        )


def admit(*, license_key: str, address: str | None) -> dict[str, str]:
    """Count a request of `license_key`. Returns the headers that state its limit.

    Raises AskedTooOften for a key over its limit, and for an unknown key from a network that sent too many of them.
    """
    looks = _unknown(address, units=0)
    try:
        digest = keys.digest(keys.canonical(license_key))
    except keys.InvalidKeyFormat:
        _refuse_guesses(rate_limits.take(*looks))
        return {}
    balance, *guesses = rate_limits.take(Use(_per_key(), digest.hex()[:32]), *looks)
    if not balance.is_allowed:
        raise AskedTooOften(
            f"This key has reached its limit of {balance.limit.quantity} requests a minute.", balance
        )
    if not all(guess.is_allowed for guess in guesses) and not validation.is_known(digest):
        _refuse_guesses(guesses)
    return balance.headers()


def count_unknown(*, address: str | None) -> None:
    """Count a request for an unknown key against the network of `address`."""
    rate_limits.take(*_unknown(address, units=1))


def _refuse_guesses(guesses: list[Balance]) -> None:
    for guess in guesses:
        if not guess.is_allowed:
            raise AskedTooOften("Too many requests with unknown license keys came from this network.", guess)


def _per_key() -> Limit:
    return Limit("key", settings.LICENSE_QUESTIONS_PER_KEY)


def _unknown(address: str | None, units: int) -> list[Use]:
    limit = Limit("unknown-keys", settings.LICENSE_UNKNOWN_PER_NETWORK)
    return rate_limits.network_uses(limit, address, units=units)
