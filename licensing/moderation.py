"""Suspending, reinstating and revoking licenses, by staff or after a refund. The subscription is synced."""

from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

from django.db import transaction

from accounts.models import User
from licensing import collection
from licensing.announcements import announce
from licensing.models import License
from licensing.transitions import locked
from superagent.foundation.problems import Refusal

Status, Reason = License.Status, License.SuspensionReason


class NotPossible(Refusal):
    """The license's state does not allow the change."""

    status = HTTPStatus.CONFLICT
    code = "license_state"
    title = "The license is not in a state that allows this"


def suspend(*, license_id: UUID, reason: str, actor: User, now: datetime) -> None:
    """Suspend it until staff reinstate it. Nothing is charged meanwhile. Raises NotPossible."""
    with transaction.atomic():
        license_ = locked(license_id)
        status = license_.status_at(now)
        if status not in (Status.ACTIVE, Status.SUSPENDED, Status.PENDING):
            raise NotPossible(f"{license_} is {status.label.lower()}: it cannot be suspended.")
        license_.status, license_.suspension_reason = Status.SUSPENDED, Reason.MANUAL
        _save_with_reason(license_, reason, "license.suspended", actor)


def reinstate(*, license_id: UUID, reason: str, actor: User, now: datetime) -> None:
    """Lift a suspension. One for an overdue payment starts a new payment grace. Raises NotPossible."""
    with transaction.atomic():
        license_ = locked(license_id)
        if license_.status_at(now) != Status.SUSPENDED:
            raise NotPossible(f"{license_} is not suspended.")
        if not license_.is_held_by_staff:
            license_.suspends_at = now + timedelta(days=license_.policy.payment_grace_days)
        license_.status, license_.suspension_reason = Status.ACTIVE, ""
        license_.status = license_.status_at(now)  # a date may have passed while it was suspended
        if license_.status == Status.SUSPENDED:
            license_.suspension_reason = Reason.PAYMENT
        action = "license.reinstated" if license_.status == Status.ACTIVE else "license.hold_lifted"
        _save_with_reason(license_, reason, action, actor)


def revoke(*, license_id: UUID, reason: str, actor: User) -> None:
    """Revoke it permanently, and end its subscription. Raises NotPossible."""
    with transaction.atomic():
        license_ = locked(license_id)
        if license_.status == Status.REVOKED:
            raise NotPossible(f"{license_} is already revoked.")
        _revoke(license_, reason, actor)


def revoke_refunded(*, license_id: UUID) -> None:
    """Revoke it because its current period was refunded in full. Idempotent."""
    with transaction.atomic():
        license_ = locked(license_id)
        if license_.status != Status.REVOKED:
            _revoke(license_, "The payment was refunded in full.", None)


def _revoke(license_: License, reason: str, actor: User | None) -> None:
    license_.status, license_.suspension_reason, license_.suspends_at = Status.REVOKED, "", None
    _save_with_reason(license_, reason, "license.revoked", actor)


def _save_with_reason(license_: License, reason: str, action: str, actor: User | None) -> None:
    license_.note = reason
    license_.save(update_fields=["status", "suspension_reason", "suspends_at", "note"])
    announce(license_=license_, action=action, actor=actor, detail={"reason": reason})
    collection.enqueue_sync(license_)
