"""Spool lines that the database refused, the spool's dead letters: set aside, so that the others go on, and kept until
staff record or dismiss them."""

from datetime import datetime

import structlog
from django.db import DataError, IntegrityError, transaction

from metering.admission import counters
from metering.models import QuarantinedLine
from metering.request_path import recording
from metering.request_path.spool import SpoolLine
from superagent.foundation.problems import Refusal

KEPT_BYTES = 64 * 1024
MAX_REASON = 500

log = structlog.get_logger(__name__)


class StillUnreadable(Refusal):
    status = 409
    code = "line_unreadable"
    title = "The line cannot be read"


def keep(*, segment: str, offset: int, content: bytes, reason: str) -> None:
    """Set aside what stands at `offset` of `segment`, in the caller's transaction. Idempotent."""
    reason = reason.replace("\0", "")[:MAX_REASON]
    log.error("spool_line_quarantined", alarm=True, segment=segment, offset=offset, reason=reason)
    QuarantinedLine.objects.bulk_create(
        [
            QuarantinedLine(
                segment=segment,
                offset=offset,
                length=len(content),
                content=content[:KEPT_BYTES],
                reason=reason,
            )
        ],
        ignore_conflicts=True,
    )


def ship_again(*, line: QuarantinedLine, now: datetime) -> bool:
    """Record a line after its cause was fixed. Returns False if it was resolved already. In the system scope.

    Raises StillUnreadable, also when the database refuses it again.
    """
    try:
        return _ship_again(line, now)
    except (DataError, IntegrityError) as error:
        raise StillUnreadable(str(error)) from error


def _ship_again(line: QuarantinedLine, now: datetime) -> bool:
    with transaction.atomic():
        locked = QuarantinedLine.objects.select_for_update().get(pk=line.pk)
        if locked.state != QuarantinedLine.State.WAITING:
            return False
        try:
            parsed = SpoolLine.parse(bytes(locked.content))
        except ValueError as error:
            raise StillUnreadable(str(error)) from error
        if not recording.known_organizations([parsed]):
            raise StillUnreadable(f"There is no organization {parsed.organization_id}.")
        _, touched = recording.record([parsed])
        _resolve(locked, QuarantinedLine.State.SHIPPED, now)
    counters.raise_to_recorded(touched)
    return True


def dismiss(*, line: QuarantinedLine, now: datetime) -> bool:
    """Dismiss a line, which is never billed. Returns False if it was resolved already."""
    with transaction.atomic():
        locked = QuarantinedLine.objects.select_for_update().get(pk=line.pk)
        if locked.state != QuarantinedLine.State.WAITING:
            return False
        _resolve(locked, QuarantinedLine.State.DISMISSED, now)
        return True


def _resolve(line: QuarantinedLine, state: QuarantinedLine.State, now: datetime) -> None:
    line.state, line.resolved_at = state, now
    line.save(update_fields=["state", "resolved_at"])
