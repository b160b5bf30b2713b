"""What happened lately in an organization."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice

from accounts.models import AuditEntry, Organization
from accounts.templatetags.audit_labels import action_label
from superagent.foundation.prepared import Given, Prepared

ROWS = 6
READ = 100  # entries, of which runs are told in one row
_ICONS = {"api_key": "key", "license": "shield", "member": "users", "invitation": "mail", "user": "user"}


@dataclass(frozen=True, slots=True)
class Activity:
    """What someone did, the last time `at`; `times` in a row, with nothing else between."""

    text: str
    about: str
    actor: str
    at: datetime
    icon: str
    times: int


def newest(organization: Organization) -> list[Activity]:
    """The newest entries; what was done again and again, such as the steps of a test clock, is one line."""
    entries = _newest(organization=organization.pk)
    runs = groupby(entries, key=lambda entry: (entry.action, entry.target_label, entry.actor_label))
    return [_activity_of(list(run)) for _what, run in islice(runs, ROWS)]


_newest: Prepared[AuditEntry] = Prepared(
    lambda: (
        AuditEntry.objects.filter(organization=Given("organization"))
        .only("action", "target_label", "actor_label", "at")
        .order_by("-id")[:READ]
    )
)


def _activity_of(run: list[AuditEntry]) -> Activity:
    newest = run[0]
    return Activity(
        text=action_label(newest.action),
        about=newest.target_label,
        actor=newest.actor_label,
        at=newest.at,
        icon=_ICONS.get(newest.action.split(".")[0], "activity"),
        times=len(run),
    )
