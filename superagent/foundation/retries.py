"""One retry policy for every queue of rows, such as the outbox and Stripe's events.

Failures are retried with backoff for as long as it takes: an outage may last days, and operators are alarmed after an
hour. Only permanent failures become dead letters, which staff replay or dismiss. How rows are claimed, and in what
order, is up to the queue.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from django.db.models import Model, QuerySet
from django.utils import timezone

PENDING = "pending"
DONE = "done"
DEAD = "dead"
POSTPONED = timedelta(minutes=1)
LONGEST_ERROR = 2000

Row = TypeVar("Row", bound=Model)

log = structlog.get_logger(__name__)


class Retryable(Exception):
    """It may work later: retried with backoff. Any other exception is treated as one, and logged with its traceback."""


class Permanent(Exception):
    """It will never work: staff must look at it."""


class Postponed(Exception):
    """Not now (a kill switch is on): retried every minute until it is off. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """For a table with `state`, `attempts`, `due_at`, `last_error` and `finished_at`.

    `name` is the prefix of its log events. `of_first_attempt` are columns that the first attempt sets; postponing it
    clears them, since it does not count as an attempt.
    """

    name: str
    longest_backoff: timedelta
    of_first_attempt: tuple[str, ...] = ()

    def due(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        return rows.filter(state=PENDING, due_at__lte=timezone.now())

    def run(self, row: Row, handler: Callable[[Row], None], **logged: str) -> None:
        """Run `handler` on a claimed row and store the result; `logged` identifies the row in the log.

        A handler may outlive its lease, so another run may be handling the same row. A success of either counts; a
        failure counts only for the run that claimed the row last.
        """
        try:
            handler(row)
        except Postponed as error:
            self._postpone(row, error, logged)
        except Permanent as error:
            self._bury(row, error, logged)
        except Exception as error:  # noqa: BLE001 - any failure must be recorded with the row, then tried again
            self._retry_later(row, error, logged)
        else:
            _pending(row).update(state=DONE, last_error="", finished_at=timezone.now())

    def replay(self, rows: QuerySet[Row], **fields: Any) -> int:
        """Make `rows` pending, as if they had never been tried. Returns the number of rows."""
        return rows.update(state=PENDING, attempts=0, due_at=timezone.now(), finished_at=None, **fields)

    def backoff(self, attempts: int) -> timedelta:
        """Returns the pause after this number of failed attempts."""
        return min(timedelta(seconds=2 ** min(attempts, 16)), self.longest_backoff)

    def _postpone(self, row: Any, error: Postponed, logged: dict[str, str]) -> None:
        """Undo the claim: it does not count as an attempt, nor as the first one."""
        fields: dict[str, Any] = dict.fromkeys(self.of_first_attempt) if row.attempts == 1 else {}
        _claimed(row).update(
            attempts=row.attempts - 1,
            due_at=timezone.now() + POSTPONED,
            last_error=f"postponed: {error}"[:LONGEST_ERROR],
            **fields,
        )
        log.info(f"{self.name}_postponed", **logged, reason=str(error))

    def _bury(self, row: Any, error: Permanent, logged: dict[str, str]) -> None:
        if _claimed(row).update(state=DEAD, last_error=_text(error), finished_at=timezone.now()):
            log.error(f"{self.name}_dead", **logged, error=str(error))

    def _retry_later(self, row: Any, error: Exception, logged: dict[str, str]) -> None:
        due_at = timezone.now() + self.backoff(row.attempts)
        _claimed(row).update(due_at=due_at, last_error=_text(error))
        is_expected = isinstance(error, Retryable)
        log.warning(
            f"{self.name}_retry",
            **logged,
            attempts=row.attempts,
            error=_text(error),
            exc_info=None if is_expected else error,
        )


def _pending(row: Model) -> QuerySet[Any]:
    return type(row)._default_manager.filter(pk=row.pk, state=PENDING)


def _claimed(row: Any) -> QuerySet[Any]:
    """Returns the row if this run claimed it last: only that run may store a failure."""
    return _pending(row).filter(attempts=row.attempts)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
