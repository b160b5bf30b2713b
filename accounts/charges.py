"""What an organization goes on paying for, and its end. The upper floor that charges provides it.

Each opens the scope that it needs, but for `paying`, whose answer is read by who asks.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Organization
from superagent.foundation.ports import Port


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


@Port
def running(organization: Organization) -> list[Charge]:
    """Returns what goes on being charged; what is going to end already is not among it."""
    return []


@Port
def paying(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Returns those for which something is `running`, whatever the number of the others. Read in the system scope."""
    return organizations.none()


@Port
def unbilled(organization: Organization) -> list[Due]:
    """Returns use beyond what was included that no invoice has named yet: it is billed, whatever ends."""
    return []


@Port
def end_all(organization: Organization) -> None:
    """End all of it, each at the end of what was paid for. Calls out: not inside a transaction. Idempotent.

    Raises the refusals of who provides it.
    """
