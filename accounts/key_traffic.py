"""A port: the upper floor that counts requests tells how many calls a key made, to be quoted before it is revoked."""

from collections.abc import Callable, Sequence
from uuid import UUID

from accounts.models import Organization

Lookup = Callable[[Organization, Sequence[UUID]], dict[UUID, int]]
_lookups: list[Lookup] = []


def provide(lookup: Lookup) -> None:
    """Called once, in the `ready()` of the app that counts: calls of the last 24 hours by the id of the key."""
    _lookups[:] = [lookup]


def last_day(organization: Organization, key_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Calls of the last 24 hours by key; empty when nobody counts."""
    if not _lookups or not key_ids:
        return {}
    return _lookups[0](organization, key_ids)
