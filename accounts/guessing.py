"""Limits on guessing passwords and codes, which slow the attacker and not the owner (docs/decisions/0022).

Wrong guesses are limited for an account and network, for a network over all accounts, and for an account over all
networks. The last two do not apply to known browsers and networks, and a known browser has a limit of its own that
nobody else can exhaust. An attempt is counted before the comparison and given back if it was right, so that concurrent
guesses are all counted.
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

PAIR_WIDE_FACTOR = 2  # other users of this account rarely share the wider network


@dataclass(frozen=True, slots=True)
class Caller:
    """The client: its IP address, and the known browser or session, if any, for this account."""

    address: str | None
    known_as: str = ""


def caller_of(request: HttpRequest, user: User | None) -> Caller:
    """Returns the client of a page that is about to authenticate as `user`."""
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
    """Wrap the comparison of a password or code of `subject`. A refusal or ValidationError counts as a wrong guess.

    Raises throttles.TooManyAttempts before the comparison. An unknown account is counted like any other.
    """
    uses = _admit(subject, user, caller)
    try:
        yield
    except (Refusal, ValidationError):
        security_events.note(kind=kind, user=user, typed_address="" if user else subject)
        raise
    except Exception:  # such as a lost database: the guess revealed nothing
        rate_limits.give_back(*uses.own, *uses.shared)
        raise
    rate_limits.forget(*uses.own)
    rate_limits.give_back(*uses.shared)


def refusal_message(refusal: throttles.TooManyAttempts) -> str:
    """Returns the message for a page: how long to wait, and what works at once."""
    return f"{refusal.detail} {_('To continue now, use a passkey or reset your password by email.')}"


@dataclass(frozen=True, slots=True)
class _Uses:
    own: list[Use]  # of this account and network or browser: cleared by a right guess
    shared: list[
        Use
    ]  # a right guess only gives back its own, else an attacker could clear them by logging in


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
