"""A port: the upper floor that charges tells what an organization goes on paying for, and ends it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Organization


@dataclass(frozen=True, slots=True)
class Charge:
    """What is charged again and again, and when it ends if it is ended now; None: at once."""

    name: str
    ends_at: datetime | None


Running = Callable[[Organization], Sequence[Charge]]
End = Callable[[Organization], None]
_port: list[tuple[Running, End]] = []


def provide(*, running: Running, end: End) -> None:
    """Called once, in a `ready()`. Both open the scope that they need; `end` may call out and raise its refusals."""
    _port[:] = [(running, end)]


def running(organization: Organization) -> list[Charge]:
    """What goes on being charged; what is going to end already is not among it."""
    return list(_port[0][0](organization)) if _port else []


def end_all(organization: Organization) -> None:
    """End all of it, each at the end of what was paid for. Calls out: not inside a transaction. Idempotent."""
    if _port:
        _port[0][1](organization)
