"""How work that waits in rows is tried again: one policy for every queue, such as the outbox and Stripe's events.

What fails is tried again after growing pauses, for as long as it takes: an outage may last days, and operators are
alarmed after an hour. Only what can never work becomes a dead letter, which a person replays or dismisses. How rows are
claimed, and in what order, is the queue's own.
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
    """It may work later: tried again with backoff until it does. Any other exception is taken for one, and logged."""


class Permanent(Exception):
    """It will never work: a person must look."""


class Postponed(Exception):
    """Not now (a kill switch is thrown): ask again in a minute, for as long as it takes. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """For a table with `state`, `attempts`, `due_at`, `last_error` and `finished_at`.

    `name` begins the names of its log lines. `of_first_attempt` are columns that a first attempt fills: one that is
    postponed empties them, since it counts as none.
    """

    name: str
    longest_backoff: timedelta
    of_first_attempt: tuple[str, ...] = ()

    def due(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        return rows.filter(state=PENDING, due_at__lte=timezone.now())

    def run(self, row: Row, handler: Callable[[Row], None], **logged: str) -> None:
        """Have `handler` do the work of a claimed row, and write what became of it; `logged` tells the row in the log.

        A handler may outlive its lease, so another run may be at the same row. A success of either counts; a failure
        counts only if it is of the run that claimed the row last.
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
        """Make `rows` pending, as if they had never been tried; returns the number of rows."""
        return rows.update(state=PENDING, attempts=0, due_at=timezone.now(), finished_at=None, **fields)

    def backoff(self, attempts: int) -> timedelta:
        """Returns the pause after so many attempts in vain."""
        return min(timedelta(seconds=2 ** min(attempts, 16)), self.longest_backoff)

    def _postpone(self, row: Any, error: Postponed, logged: dict[str, str]) -> None:
        """As if it had not been tried: the attempt is given back, and so is the first one's moment."""
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
    """The row while this run is the last one that claimed it: only that one may say that it failed."""
    return _pending(row).filter(attempts=row.attempts)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
