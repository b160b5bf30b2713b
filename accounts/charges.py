"""A port: the upper floor that charges tells what an organization goes on paying for, and ends it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Organization


@dataclass(frozen=True, slots=True)
class Charge:
    """What is charged again and again, and when it ends if it is ended now; None: at once."""

    name: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    """What was used and is still to be billed, as it stands now."""

    amount: int
    currency: str
    at: datetime


Running = Callable[[Organization], Sequence[Charge]]
End = Callable[[Organization], None]
Unbilled = Callable[[Organization], Sequence[Due]]
Paying = Callable[[QuerySet[Organization]], QuerySet[Organization]]
_port: list[tuple[Running, End, Unbilled, Paying]] = []


def provide(*, running: Running, end: End, unbilled: Unbilled, paying: Paying) -> None:
    """Called once, in a `ready()`. Each opens the scope that it needs, but for `paying`, whose answer is read by who
    asks; `end` may call out and raise its refusals.
    """
    _port[:] = [(running, end, unbilled, paying)]


def running(organization: Organization) -> list[Charge]:
    """What goes on being charged; what is going to end already is not among it."""
    return list(_port[0][0](organization)) if _port else []


def paying(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Those for which something is `running`, whatever the number of the others. Read in the system scope."""
    return _port[0][3](organizations) if _port else organizations.none()


def unbilled(organization: Organization) -> list[Due]:
    """Use beyond what was included that no invoice has named yet: it is billed, whatever ends."""
    return list(_port[0][2](organization)) if _port else []


def end_all(organization: Organization) -> None:
    """End all of it, each at the end of what was paid for. Calls out: not inside a transaction. Idempotent."""
    if _port:
        _port[0][1](organization)
