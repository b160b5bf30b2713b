"""A port: the upper floor that knows Stripe tells an organization's customer id, so that the API can show it."""

from collections.abc import Callable

from accounts.models import Organization

Lookup = Callable[[Organization], str | None]
_lookups: list[Lookup] = []


def provide(lookup: Lookup) -> None:
    """Called once, in the `ready()` of the app that knows. `lookup` opens the scope that it needs."""
    _lookups[:] = [lookup]


def id_of(organization: Organization | None) -> str | None:
    """Stripe's id of the customer; None until it is known."""
    if organization is None or not _lookups:
        return None
    return _lookups[0](organization)
