"""What an organization is charged for, and how to end it. Provided by the upper app that charges.

Each opens the scope that it needs, but for `paying`, whose answer is read by who asks.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Organization
from superagent.foundation.ports import Port


@dataclass(frozen=True, slots=True)
class Charge:
    """A recurring charge, and when it ends if it is ended now; None: immediately."""

    name: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    """Usage that is not billed yet, as of now."""

    amount: int
    currency: str
    at: datetime


@Port
def running(organization: Organization) -> list[Charge]:
    """Returns the recurring charges, without those that are set to end."""
    return []


@Port
def paying(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Returns the organizations with `running` charges, in one query. Call it in the system scope."""
    return organizations.none()


@Port
def unbilled(organization: Organization) -> list[Due]:
    """Returns overage that is on no invoice yet: it is billed even if the subscription ends."""
    return []


@Port
def end_all(organization: Organization) -> None:
    """End all charges, each at the end of its paid period. Calls Stripe: not inside a transaction. Idempotent.

    Raises the refusals of the provider.
    """
