"""Limits the open streams of a user or an API key over all processes: each stream reads Redis every second."""

from uuid import UUID

from metering.admission import counters, redis_wire, scripts
from metering.admission.redis_wire import LOST
from superagent.foundation.problems import Refusal

MOST = 10
SILENT_SECONDS = 60
"""After which a stream whose process was killed is over; the living ones say so more often."""
RETRY_SECONDS = 30


class TooManyStreams(Refusal):
    status = 429
    code = "too_many_streams"
    title = "Too many streams are open"

    def __init__(self) -> None:
        super().__init__(
            f"This key or person has {MOST} streams open, the most there can be. Close one, or share one among your "
            "programs.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )


def enter(*, organization_id: UUID, caller: UUID, stream: str) -> None:
    """Count `stream` as open, or as still open. Raises TooManyStreams; while Redis is lost nothing is counted."""
    try:
        has_room = redis_wire.run(
            scripts.ENTER, [_key(organization_id, caller)], stream, MOST, SILENT_SECONDS
        )
    except LOST as error:
        counters.note_loss(error)
        return
    if not has_room:
        raise TooManyStreams


def leave(*, organization_id: UUID, caller: UUID, stream: str) -> None:
    try:
        redis_wire.send(redis_wire.pack("ZREM", _key(organization_id, caller), stream), 1)
    except LOST as error:
        counters.note_loss(error)


def _key(organization_id: UUID, caller: UUID) -> str:
    return f"{{{organization_id}}}:streams:{caller}"
