"""The life of a license: issued when it is paid, following its subscription, stopped and started by staff.

Every function locks the license's row, changes it at most once, and writes only rows. What staff and members do is
audited here, so that portal, API and admin cannot forget it.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import structlog
from django.db import transaction

from accounts import audit
from accounts.models import Organization, User
from licensing import keys, vault
from licensing.models import License, LicenseFeature, Policy
from superagent.foundation.problems import Refusal

log = structlog.get_logger(__name__)

Status, Reason = License.Status, License.SuspensionReason


class NotPossible(Refusal):
    """The license is in a state that this change does not start from."""

    status = HTTPStatus.CONFLICT
    code = "license_state"
    title = "The license is not in a state that allows this"


def issue(
    *,
    organization: Organization,
    policy: Policy,
    now: datetime,
    order_item_id: UUID | None = None,
    renews_at: datetime | None = None,
) -> License:
    """The license for a paid order item; the same item gives the same license.

    Without `renews_at` it never expires. Without an order item (staff, demo data) every call issues a new one.
    """
    with transaction.atomic():
        plain = keys.generate(policy.key_prefix)
        license_ = License(
            organization=organization,
            policy=policy,
            order_item_id=order_item_id,
            status=Status.ACTIVE,
            issued_at=now,
            renews_at=renews_at,
            expires_at=_expiry(policy, renews_at),
            max_activations=policy.max_activations,
            requires_activation=policy.requires_activation,
            heartbeat_hours=policy.heartbeat_hours,
        )
        _put_key(license_, plain, now)
        if order_item_id is None:
            license_.save(force_insert=True)
        else:
            License.objects.bulk_create([license_], ignore_conflicts=True)
            stored = License.objects.get(order_item_id=order_item_id)
            if stored.pk != license_.pk:
                return stored
        _include(license_, policy)
        audit.record(
            action="license.issued",
            organization=organization,
            target=license_,
            detail={"policy": policy.product_slug},
        )
        return license_


def renew(*, license_id: UUID, renews_at: datetime, is_ending: bool) -> None:
    """Paid until `renews_at`: the license lives a grace longer, or, if it `is_ending`, exactly that long.

    A suspension for payment, and an expiry that a late payment has overtaken, are lifted; staff's own stay.
    """
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status == Status.REVOKED:
            return
        license_.renews_at = renews_at
        license_.expires_at = renews_at if is_ending else _expiry(license_.policy, renews_at)
        license_.suspends_at = None
        if license_.suspension_reason == Reason.PAYMENT or license_.status in (
            Status.EXPIRED,
            Status.PENDING,
        ):
            license_.status, license_.suspension_reason, license_.note = Status.ACTIVE, "", ""
        license_.save()


def dun(*, license_id: UUID, since: datetime) -> None:
    """Payment has failed `since` then: the license works on for the policy's grace, and is then suspended."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status == Status.ACTIVE and license_.suspends_at is None:
            license_.suspends_at = since + timedelta(days=license_.policy.payment_grace_days)
            # Stripe has turned the period already, but it is not paid: what ends the license now is the suspension.
            license_.expires_at = None
            license_.save(update_fields=["suspends_at", "expires_at"])


def suspend_for_payment(*, license_id: UUID) -> None:
    """Stripe has given up collecting: lifted by itself once it is paid."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status == Status.ACTIVE:
            license_.status, license_.suspension_reason = Status.SUSPENDED, Reason.PAYMENT
            license_.suspends_at = None
            license_.save(update_fields=["status", "suspension_reason", "suspends_at"])


def end(*, license_id: UUID, at: datetime, now: datetime) -> None:
    """The subscription is over: the license expires `at`, which may be now or the end of what is paid."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status in (Status.REVOKED, Status.EXPIRED):
            return
        license_.expires_at = min(at, license_.expires_at) if license_.expires_at else at
        license_.renews_at = license_.suspends_at = None
        license_.save()
        _write_down(license_, now)


def change_policy(*, license_id: UUID, policy: Policy) -> None:
    """The subscription moved to another tier: the limits change, what is used and the key stay."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.policy_id == policy.pk:
            return
        before = license_.policy.product_slug
        license_.policy = policy
        license_.max_activations, license_.heartbeat_hours = policy.max_activations, policy.heartbeat_hours
        license_.requires_activation = policy.requires_activation
        license_.save(update_fields=["policy", "max_activations", "heartbeat_hours", "requires_activation"])
        _include(license_, policy)
        audit.record(
            action="license.policy_changed",
            organization=license_.organization,
            target=license_,
            detail={"from": before, "to": policy.product_slug},
        )


def suspend(*, license_id: UUID, reason: str, actor: User) -> None:
    """Staff: stop it until staff start it again. Raises NotPossible."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status not in (Status.ACTIVE, Status.SUSPENDED, Status.PENDING):
            raise NotPossible(
                f"{license_} is {license_.get_status_display().lower()}: it cannot be suspended."
            )
        license_.status, license_.suspension_reason = Status.SUSPENDED, Reason.MANUAL
        _save_with_reason(license_, reason, "license.suspended", actor)


def reinstate(*, license_id: UUID, reason: str, actor: User) -> None:
    """Staff: lift a suspension of either kind. Raises NotPossible."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status != Status.SUSPENDED:
            raise NotPossible(f"{license_} is not suspended.")
        license_.status, license_.suspension_reason, license_.suspends_at = Status.ACTIVE, "", None
        _save_with_reason(license_, reason, "license.reinstated", actor)


def revoke(*, license_id: UUID, reason: str, actor: User) -> None:
    """Staff: end it for good, whatever is paid. Raises NotPossible."""
    with transaction.atomic():
        license_ = _locked(license_id)
        if license_.status == Status.REVOKED:
            raise NotPossible(f"{license_} is revoked already.")
        license_.status, license_.suspension_reason, license_.suspends_at = Status.REVOKED, "", None
        _save_with_reason(license_, reason, "license.revoked", actor)


def rotate_key(*, license_: License, actor: User, now: datetime) -> str:
    """A new key for the license; the old one is unknown from now on and every server must activate again.

    Answers the new key. Raises NotPossible for a license that has ended.
    """
    with transaction.atomic():
        locked = _locked(license_.pk)
        if locked.status_at(now) in (Status.REVOKED, Status.EXPIRED):
            raise NotPossible("The license has ended: a new key would not work either.")
        plain = keys.generate(locked.policy.key_prefix)
        _put_key(locked, plain, now)
        locked.save(update_fields=["key_hash", "key_encrypted", "key_prefix", "key_tail", "key_made_at"])
        freed, _ = locked.activations.all().delete()
        audit.record(
            action="license.key_rotated",
            organization=locked.organization,
            actor=actor,
            target=locked,
            detail={"activations_removed": freed},
        )
        return plain


def reveal(*, license_: License, actor: User | None) -> str:
    """The key in plain text, and an entry in the audit trail that it was shown."""
    with transaction.atomic():
        audit.record(
            action="license.key_revealed", organization=license_.organization, actor=actor, target=license_
        )
        return vault.decrypt(bytes(license_.key_encrypted))


def write_down_due(*, now: datetime) -> int:
    """The hourly job: give every license the status that its dates have given it already; answers how many changed.

    `status_at` has told the truth all along; this is for lists and filters. `now` is real time: an organization in
    rehearsal has its own.
    """
    due = License.objects.due(now).values_list("pk", flat=True)
    changed = 0
    for pk in list(due):
        try:
            with transaction.atomic():
                license_ = _locked(pk)
                changed += _write_down(license_, license_.organization.rehearsal_now or now)
        except Exception:  # one that fails does not keep the others; validation says the truth meanwhile
            log.exception("license_not_written_down", license=str(pk))
    return changed


def encrypt_again() -> int:
    """Put every key under the newest encryption key; answers how many. Repeatable. Raises vault.Unreadable."""
    count = 0
    for pk in License.objects.order_by("id").values_list("pk", flat=True).iterator(chunk_size=1000):
        with transaction.atomic():
            license_ = License.objects.select_for_update().get(pk=pk)
            license_.key_encrypted = vault.encrypt_again(bytes(license_.key_encrypted))
            license_.save(update_fields=["key_encrypted"])
        count += 1
    return count


def _locked(license_id: UUID) -> License:
    return (
        License.objects.select_for_update(of=("self",))
        .select_related("policy", "organization")
        .get(pk=license_id)
    )


def _write_down(license_: License, now: datetime) -> bool:
    status = license_.status_at(now)
    if status == license_.status:
        return False
    license_.status = status
    license_.suspension_reason = Reason.PAYMENT if status == Status.SUSPENDED else ""
    license_.suspends_at = None
    license_.save(update_fields=["status", "suspension_reason", "suspends_at"])
    return True


def _save_with_reason(license_: License, reason: str, action: str, actor: User) -> None:
    license_.note = reason
    license_.save(update_fields=["status", "suspension_reason", "suspends_at", "note"])
    audit.record(
        action=action,
        organization=license_.organization,
        actor=actor,
        target=license_,
        detail={"reason": reason},
    )


def _put_key(license_: License, plain: str, now: datetime) -> None:
    symbols = keys.canonical(plain)
    license_.key_hash = keys.digest(symbols)
    license_.key_encrypted = vault.encrypt(plain)
    license_.key_prefix, license_.key_tail = plain.split("-")[0], plain[-keys.GROUP :]
    license_.key_made_at = now


def _expiry(policy: Policy, renews_at: datetime | None) -> datetime | None:
    return None if renews_at is None else renews_at + timedelta(days=policy.renewal_grace_days)


def _include(license_: License, policy: Policy) -> None:
    """Give the license the policy's features; one that the policy lacks is kept with limit 0, for its use is a fact."""
    included = list(policy.features.all())
    LicenseFeature.objects.filter(license=license_).exclude(slug__in=[f.slug for f in included]).update(
        limit=0
    )
    LicenseFeature.objects.bulk_create(
        [
            LicenseFeature(
                organization_id=license_.organization_id,
                license=license_,
                slug=feature.slug,
                action=feature.action,
                name=feature.name,
                limit=feature.limit,
            )
            for feature in included
        ],
        update_conflicts=True,
        unique_fields=["license", "slug"],
        update_fields=["action", "name", "limit"],
    )
