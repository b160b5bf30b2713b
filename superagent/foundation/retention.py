"""Deletion of data past its retention: in small batches, so that no lock is held long and vacuum is not delayed.

How long data is kept, and which job deletes it: docs/operations, "What is deleted when".
"""

import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

BATCH = 1_000
LONGEST_SECONDS = 120  # well within the task time limit; the next run continues


def delete(rows: QuerySet[Any]) -> int:
    """Delete `rows` in the queryset's order. Returns their number. Idempotent."""
    return _in_batches(rows, lambda batch: batch.delete()[0])


def update(rows: QuerySet[Any], **fields: Any) -> int:
    """Clear the fields of `rows` that are past retention; `fields` must take them out of the queryset. Returns their
    number.
    """
    return _in_batches(rows, lambda batch: batch.update(**fields))


def _in_batches(rows: QuerySet[Any], change: Callable[[QuerySet[Any]], int]) -> int:
    deadline = time.monotonic() + LONGEST_SECONDS
    changed = 0
    while time.monotonic() < deadline:
        keys = list(rows.values_list("pk", flat=True)[:BATCH])
        changed += change(rows.order_by().filter(pk__in=keys)) if keys else 0
        if len(keys) < BATCH:
            break
    return changed
