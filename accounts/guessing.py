"""Guessing passwords and codes slows the guesser, and not the owner (docs/decisions/0022).

Wrong guesses are counted for one account by network; for one network over all accounts; for one account over all
networks. Whoever comes from a known place is held up by neither of the latter two, and a known browser has a count of
its own, so that nobody else can use it up. Counted before the comparison and given back after a right one: guesses at
the same moment are all counted.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, known_places, security_events, throttles
from accounts.models import User
from accounts.security_events import Kind
from superagent.foundation import rate_limits
from superagent.foundation.networks import networks_of
from superagent.foundation.problems import Refusal
from superagent.foundation.rate_limits import Use

PAIR_WIDE_FACTOR = 2  # the wider network of one account's guesser is hardly another person's


@dataclass(frozen=True, slots=True)
class Caller:
    """Who guesses: an address, and the browser or session by which we know them for this account."""

    address: str | None
    known_as: str = ""


def caller_of(request: HttpRequest, user: User | None) -> Caller:
    """The caller of a page, who is about to prove to be `user`."""
    address = audit.client_address(request)
    if user is None:
        return Caller(address)
    if request.user.is_authenticated and request.user.pk == user.pk:
        return Caller(
            address, "session"
        )  # of the person, whichever: a new session is no new budget of guesses
    return Caller(address, known_places.browser_of(request, user))


@contextmanager
def attempt(*, subject: str, user: User | None, caller: Caller, kind: Kind) -> Iterator[None]:
    """Around the comparison of a password or code of `subject`, an account: a refusal that it raises was a wrong guess,
    any other error was none.

    Raises throttles.TooManyAttempts before it. An account that does not exist is counted like any other.
    """
    uses = _admit(subject, user, caller)
    try:
        yield
    except (Refusal, ValidationError):
        security_events.note(kind=kind, user=user, typed_address="" if user else subject)
        raise
    except Exception:  # a lost database, say: nobody has learned whether the guess was right
        rate_limits.give_back(*uses.own, *uses.shared)
        raise
    rate_limits.forget(*uses.own)
    rate_limits.give_back(*uses.shared)


def told(refusal: throttles.TooManyAttempts) -> str:
    """What a page says to who has to wait, and how they need not: a link from a mail makes the browser a known one."""
    return f"{refusal.detail} {_('A passkey, or a new password by mail, works at once.')}"


@dataclass(frozen=True, slots=True)
class _Uses:
    own: list[Use]  # of this account and this place: a right guess ends them
    shared: list[Use]  # a right guess only takes itself back, or a guesser's own log-in would end them


def _admit(subject: str, user: User | None, caller: Caller) -> _Uses:
    if caller.known_as:
        own = [throttles.use_of("guess_device", f"{subject} {caller.known_as}")]
        throttles.take(*own, user=user)
        return _Uses(own, [])
    networks = networks_of(caller.address)
    own = [throttles.use_of("guess_pair", f"{subject} {networks.narrow}")]
    if networks.wide != networks.narrow:
        own.append(throttles.use_of("guess_pair", f"{subject} {networks.wide}", PAIR_WIDE_FACTOR))
    throttles.take(*own, user=user)
    shared = [
        *throttles.network_uses("guess_network", caller.address),
        throttles.use_of("guess_account", subject),
    ]

    @functools.cache
    def is_known() -> bool:
        now = timezone.now()
        return user is not None and known_places.is_known_network(user=user, address=caller.address, now=now)

    return _Uses(own, throttles.take(*shared, user=user, passes=is_known))
