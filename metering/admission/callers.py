"""An API key that this process knows: its record and the verdict on a request by one round trip to Redis."""

from uuid import UUID

from accounts import key_records
from metering.admission import counters, rates, redis_wire, scripts
from metering.admission.charges import Charge
from metering.admission.rates import Pace


class Caller:
    """One API key, used by many threads: the messages to Redis, made once."""

    __slots__ = ("_counted", "_uncounted", "organization_id")

    def __init__(self, *, key_hash: bytes, organization_id: UUID, api_key_id: UUID) -> None:
        record = redis_wire.pack("GET", key_records.name_of(key_hash))
        self.organization_id = organization_id
        self._counted = record + counters.pack_charge(organization_id, str(api_key_id))
        self._uncounted = record + rates.pack_pace(organization_id, str(api_key_id))

    def obtain(self) -> tuple[bytes | None, Charge | None]:
        """The key's record, None if Redis has none, and the verdict on one request, None if PostgreSQL must be asked.

        Raises redis_wire.LOST.
        """
        stored, answer = redis_wire.send(self._counted, 2, (scripts.CHARGE,))
        return stored, counters.verdict(self.organization_id, answer)

    def obtain_uncounted(self) -> tuple[bytes | None, Pace]:
        """As `obtain`, for a request that the quota does not count. Raises redis_wire.LOST."""
        stored, answer = redis_wire.send(self._uncounted, 2, (scripts.PACE,))
        return stored, Pace(*answer)
