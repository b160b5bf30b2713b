"""Licenses as the portal shows them."""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import Organization
from licensing.models import License, LicenseFeature

NEWEST = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A license with what is true of it at one time."""

    license: License
    status: str
    features: list[LicenseFeature]
    until: datetime | None
    is_ending: bool
    warning: str

    @property
    def is_alive(self) -> bool:
        return self.status == License.Status.ACTIVE


@dataclass(frozen=True, slots=True)
class Summary:
    """For the dashboard: how many licenses work, and which want attention."""

    total: int
    alive: int
    newest: list[Row]
    troubled: list[Row]


def rows(*, organization: Organization, now: datetime) -> list[Row]:
    """All licenses of the organization, newest first: two queries."""
    found = License.objects.visible_to(organization).select_related("policy").prefetch_related("features")
    return [row(license_, now) for license_ in found]


def row(license_: License, now: datetime) -> Row:
    status = license_.status_at(now)
    is_ending = license_.is_ending
    until = license_.expires_at if is_ending else license_.renews_at
    if license_.suspends_at is not None and status == License.Status.ACTIVE:
        until = license_.suspends_at
    return Row(
        license=license_,
        status=status.value,
        features=list(license_.features.all()),
        until=until,
        is_ending=is_ending,
        warning=_warning(license_, status),
    )


def summary(*, organization: Organization, now: datetime) -> Summary:
    all_rows = rows(organization=organization, now=now)
    return Summary(
        total=len(all_rows),
        alive=sum(found.is_alive for found in all_rows),
        newest=all_rows[:NEWEST],
        troubled=[found for found in all_rows if found.warning],
    )


def _warning(license_: License, status: License.Status) -> str:
    """`payment` (suspended for it), `payment_soon` (a payment failed), `manual` (by staff) or nothing."""
    if status == License.Status.SUSPENDED:
        return "manual" if license_.is_held_by_staff else "payment"
    return "payment_soon" if status == License.Status.ACTIVE and license_.suspends_at is not None else ""
