"""Deleting what is no longer kept: a few rows at a time, so that no lock is held long and no vacuum is kept waiting.

How long what is kept, and who deletes it: docs/operations, "What is deleted when".
"""

import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

BATCH = 1_000
LONGEST_SECONDS = 120  # well within the time limit of tasks; the next run goes on


def delete(rows: QuerySet[Any]) -> int:
    """Delete `rows`, oldest first in the order that the queryset has; answers how many. Idempotent."""
    return _in_batches(rows, lambda batch: batch.delete()[0])


def update(rows: QuerySet[Any], **fields: Any) -> int:
    """Empty `rows` of what is no longer kept; the new `fields` must take them out of the queryset. Answers how many."""
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
