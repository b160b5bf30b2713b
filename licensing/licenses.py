"""The life of a license: issued when it is paid, then kept in line with its subscription until it ends.

Every function locks the license's row, changes it at most once, and calls no outside system. Each sets the present
state, whatever the former one was, because events may arrive late, twice or not at all. Staff actions are in
`moderation`.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from accounts.models import Organization
from licensing import issued_keys
from licensing.announcements import announce
from licensing.models import License, LicenseFeature, Policy
from licensing.transitions import locked, reopen, store

log = structlog.get_logger(__name__)

Status = License.Status


def issue(
    *,
    organization: Organization,
    policy: Policy,
    now: datetime,
    order_item_id: UUID | None = None,
    renews_at: datetime | None = None,
) -> License:
    """Issue a license for a paid order item. Idempotent: returns the same license for the same item.

    Without `renews_at` it never expires. Without an order item (staff, demo data) every call issues a new license.
    """
    with transaction.atomic():
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
        issued_keys.put_new(license_, now=now)
        if order_item_id is None:
            license_.save(force_insert=True)
        else:
            License.objects.bulk_create([license_], ignore_conflicts=True)
            stored = License.objects.get(order_item_id=order_item_id)
            if stored.pk != license_.pk:
                return stored
        _include(license_, policy)
        announce(license_=license_, action="license.issued", detail={"policy": policy.product_slug})
        return license_


def renew(*, license_id: UUID, renews_at: datetime, is_ending: bool, now: datetime) -> None:
    """Extend a license that is paid until `renews_at`, plus the renewal grace unless it `is_ending`.

    Lifts a suspension for payment and an expiry; a suspension by staff stays.
    """
    with transaction.atomic():
        license_ = locked(license_id)
        before, was_ending = license_.status, license_.is_ending
        if before == Status.REVOKED:
            return
        license_.renews_at = renews_at
        license_.expires_at = renews_at if is_ending else _expiry(license_.policy, renews_at)
        license_.suspends_at = None
        reopen(license_)
        has_changed = store(license_, now=now, before=before)
        if is_ending != was_ending and not has_changed and license_.status == Status.ACTIVE:
            announce(license_=license_, action="license.ending" if is_ending else "license.continued")


def start_payment_grace(*, license_id: UUID, since: datetime, now: datetime) -> None:
    """Start the payment grace of a license whose payment failed at `since`; at its end the license is suspended.

    A longer grace, given by staff, is kept.
    """
    with transaction.atomic():
        license_ = locked(license_id)
        before = license_.status
        if before == Status.REVOKED:
            return
        ends_at = since + timedelta(days=license_.policy.payment_grace_days)
        license_.suspends_at = max(license_.suspends_at or ends_at, ends_at)
        # Stripe has started the next period, but it is unpaid: the suspension ends the license, not the expiry.
        license_.expires_at = None
        reopen(license_)
        store(license_, now=now, before=before)


def suspend_for_payment(*, license_id: UUID, now: datetime) -> None:
    """Suspend a license because Stripe has stopped collecting the payment. A later payment lifts it (`renew`)."""
    with transaction.atomic():
        license_ = locked(license_id)
        before = license_.status
        if before == Status.REVOKED:
            return
        license_.suspends_at = min(license_.suspends_at or now, now)
        license_.expires_at = None
        reopen(license_)
        store(license_, now=now, before=before)


def await_payment(*, license_id: UUID) -> None:
    """Set a license to pending until its first payment arrives."""
    with transaction.atomic():
        license_ = locked(license_id)
        if license_.status != Status.REVOKED and not license_.is_held_by_staff:
            license_.status, license_.suspension_reason = Status.PENDING, ""
            license_.save(update_fields=["status", "suspension_reason"])


def end(*, license_id: UUID, at: datetime, now: datetime) -> None:
    """Let a license expire at `at`, because its subscription has ended."""
    with transaction.atomic():
        license_ = locked(license_id)
        before, was_ending = license_.status, license_.is_ending
        if before == Status.REVOKED:
            return
        license_.expires_at = at
        license_.renews_at = license_.suspends_at = None
        reopen(license_)
        has_changed = store(license_, now=now, before=before)
        if not was_ending and not has_changed and license_.status == Status.ACTIVE:
            announce(license_=license_, action="license.ending")


def change_policy(*, license_id: UUID, policy: Policy) -> None:
    """Apply the limits of another tier. Usage and key stay."""
    with transaction.atomic():
        license_ = locked(license_id)
        if license_.policy_id == policy.pk:
            return
        before = license_.policy.product_slug
        license_.policy = policy
        license_.max_activations, license_.heartbeat_hours = policy.max_activations, policy.heartbeat_hours
        license_.requires_activation = policy.requires_activation
        license_.save(update_fields=["policy", "max_activations", "heartbeat_hours", "requires_activation"])
        _include(license_, policy)
        announce(
            license_=license_,
            action="license.policy_changed",
            detail={"from": before, "to": policy.product_slug},
        )


def sync_due_statuses(*, now: datetime) -> int:
    """Store and announce the status of licenses whose dates have passed. Returns the number changed.

    Validation does not depend on it: it uses `status_at`. `now` is real time; an organization on a test clock uses its
    own. A failure does not stop the others.
    """
    changed = 0
    due = License.objects.due(now).values_list("pk", flat=True)
    on_test_clocks = License.objects.due_on_test_clocks().values_list("pk", flat=True)
    for pk in [*due, *on_test_clocks]:
        try:
            changed += _sync(pk, now)
        except Exception:
            log.exception("license_status_not_synced", license=str(pk), alarm=True)
    return changed


def _sync(license_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        license_ = locked(license_id)
        return store(license_, now=license_.organization.test_clock_time or now, before=license_.status)


def _expiry(policy: Policy, renews_at: datetime | None) -> datetime | None:
    return None if renews_at is None else renews_at + timedelta(days=policy.renewal_grace_days)


def _include(license_: License, policy: Policy) -> None:
    """Give the license the policy's features. A feature that the policy lacks keeps its usage, with limit 0."""
    included = list(policy.features.all())
    own = LicenseFeature.objects.filter(license=license_)
    # An action may have moved from one feature to another: clear all first, because each is unique.
    own.update(action=None)
    own.exclude(slug__in=[feature.slug for feature in included]).update(limit=0)
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
