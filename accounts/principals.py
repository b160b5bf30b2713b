"""The principal of an API request: who acts, and for which organization."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import Organization


@dataclass(frozen=True, slots=True)
class Principal:
    """A member by JWT (`user_id`) or an API key (`api_key_id`), acting for one organization.

    `label` names the actor in the audit trail. `livemode` and `test_clock_time` are the organization's, so that the
    clock can be read without a query.
    """

    organization_id: UUID
    user_id: UUID | None
    api_key_id: UUID | None
    scopes: frozenset[str]
    label: str
    livemode: bool = False
    test_clock_time: datetime | None = None

    @property
    def is_api_key(self) -> bool:
        return self.api_key_id is not None

    @property
    def caller(self) -> str:
        """Identifies the API key or user across requests, whatever the organization."""
        return f"api_key:{self.api_key_id}" if self.api_key_id else f"user:{self.user_id}"

    def allows(self, scope: str) -> bool:
        return scope in self.scopes

    def make_organization(self) -> Organization:
        """Returns the organization with the fields that the clock needs; others are deferred."""
        return Organization.from_db(
            "default",
            ["id", "livemode", "test_clock_time"],
            [self.organization_id, self.livemode, self.test_clock_time],
        )
