"""Events that wait together are processed as a batch: each object is fetched and applied once for all of them.

One purchase sends fifteen events about five objects. All events of a batch are stored before its first fetch, so one
fetch is as new as each of them; whatever changes at Stripe afterwards sends an event of the next batch. A batch forgets
what it applied as soon as we change something at Stripe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TypeVar

Applied = TypeVar("Applied")

_applied: ContextVar[set[str] | None] = ContextVar("applied_in_this_batch", default=None)


@contextmanager
def batch() -> Iterator[None]:
    token = _applied.set(set())
    try:
        yield
    finally:
        _applied.reset(token)


def once(refresh: Callable[[str], Applied | None]) -> Callable[[str], Applied | None]:
    """Decorate a function that fetches and applies the object of an id: repeated in a batch, it does nothing.

    It then returns None, as for a fetch that is stale. Outside of a batch nothing changes.
    """

    @wraps(refresh)
    def refresh_once(stripe_id: str) -> Applied | None:
        applied = _applied.get()
        if applied is None:
            return refresh(stripe_id)
        if stripe_id in applied:
            return None
        done = refresh(stripe_id)
        if done is not None:  # what was not applied may be ours a moment later
            applied.add(stripe_id)
        return done

    return refresh_once


def forget() -> None:
    """Have everything fetched anew from here on."""
    applied = _applied.get()
    if applied is not None:
        applied.clear()
