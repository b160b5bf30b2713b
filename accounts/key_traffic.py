"""How many calls a key made, to be quoted before it is revoked. The upper floor that counts requests provides it."""

from collections.abc import Sequence
from uuid import UUID

from accounts.models import Organization
from superagent.foundation.ports import Port


@Port
def last_day(organization: Organization, key_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Returns the calls of the last 24 hours by key."""
    return {}
