"""Changes of a license's row: locked, derived from its dates, announced."""

from datetime import datetime
from uuid import UUID

from licensing.announcements import announce
from licensing.models import License

_Status, _Reason = License.Status, License.SuspensionReason


def locked(license_id: UUID) -> License:
    """Returns the license with policy and organization, its row locked."""
    return (
        License.objects.select_for_update(of=("self",))
        .select_related("policy", "organization")
        .get(pk=license_id)
    )


def reopen(license_: License) -> None:
    """Reset the stored status, so that the dates decide. A suspension by staff stays."""
    if not license_.is_held_by_staff:
        license_.status, license_.suspension_reason, license_.note = _Status.ACTIVE, "", ""


def store(license_: License, *, now: datetime, before: str) -> bool:
    """Save the license with the status that its dates give at `now`, and announce a change from `before`.

    Returns whether the status changed.
    """
    status = license_.status_at(now)
    license_.status = status
    if status != _Status.SUSPENDED:
        license_.suspension_reason = ""
    elif not license_.is_held_by_staff:
        license_.suspension_reason = _Reason.PAYMENT
    license_.save()
    if status == before:
        return False
    action = "license.activated" if before == _Status.PENDING else _ACTIONS.get(status)
    if action:
        announce(license_=license_, action=action, detail={"was": before})
    return True


_ACTIONS = {
    _Status.ACTIVE: "license.reinstated",
    _Status.SUSPENDED: "license.suspended",
    _Status.EXPIRED: "license.expired",
}
