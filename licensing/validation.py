"""Validation of license keys for control panels: one query and no cache, so a suspension takes effect immediately."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from django.conf import settings
from django.utils import timezone

from licensing import keys
from licensing.models import MAX_ACTIVATIONS, License
from superagent.foundation import clock, tenancy


class Code(StrEnum):
    """Every result of validation. Clients read `valid` and `code`."""

    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    PENDING = "PENDING"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    FEATURE_NOT_INCLUDED = "FEATURE_NOT_INCLUDED"
    LIMIT_REACHED = "LIMIT_REACHED"
    NOT_ACTIVATED = "NOT_ACTIVATED"
    FINGERPRINT_REQUIRED = "FINGERPRINT_REQUIRED"
    TOO_MANY_ACTIVATIONS = "TOO_MANY_ACTIVATIONS"
    HEARTBEAT_DEAD = "HEARTBEAT_DEAD"


class FeatureRow(TypedDict):
    slug: str
    action: str | None
    limit: int | None
    used: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a validation. `license` is None if the key is unknown; `status` is the license's status now."""

    code: Code
    detail: str
    license: License | None = None
    status: License.Status | None = None
    feature: FeatureRow | None = None

    @property
    def is_valid(self) -> bool:
        return self.code == Code.VALID

    @property
    def remaining(self) -> int | None:
        """Returns what is left of the feature; None without a feature, or if it is unlimited."""
        if self.feature is None or self.feature["limit"] is None:
            return None
        return max(self.feature["limit"] - self.feature["used"], 0)


_INACTIVE = {
    License.Status.PENDING: (Code.PENDING, "The license is not paid yet."),
    License.Status.SUSPENDED: (Code.SUSPENDED, "The license is suspended."),
    License.Status.EXPIRED: (Code.EXPIRED, "The license has expired."),
    License.Status.REVOKED: (Code.REVOKED, "The license was revoked."),
}
_SUSPENDED_FOR_PAYMENT = (
    "The license is suspended because a payment is overdue. It works again once the payment arrives."
)


def validate(
    *, license_key: str, feature: str | None = None, quantity: int = 1, fingerprint: str | None = None
) -> Verdict:
    """Returns whether the license is active and, with `feature` (slug or action), includes `quantity` more of it.

    Reserves nothing: usage is reported to `usage.apply`, which checks the limit again under the row's lock.
    """
    try:
        license_ = find(license_key, fingerprint)
    except keys.InvalidKeyFormat as error:
        return Verdict(Code.NOT_FOUND, str(error))
    if license_ is None:
        return Verdict(Code.NOT_FOUND, "No license has this key.")
    now = clock.now(license_.organization)
    return (
        refused_for_state(license_, now)
        or _refused_for_server(license_, fingerprint, now)
        or _answer(license_, feature, quantity)
    )


def find(license_key: str, fingerprint: str | None = None) -> License | None:
    """Returns the license of a key with the rows that validation needs: one query, two for a replaced key.

    None if no license has the key. Raises keys.InvalidKeyFormat for a malformed one.
    """
    key_hash = keys.digest(keys.canonical(license_key))
    found = License.objects.for_validation(fingerprint or None)
    with tenancy.system("license key"):
        return found.with_key(key_hash).first() or found.with_previous_key(key_hash, timezone.now()).first()


def is_known(key_hash: bytes) -> bool:
    """Returns whether a license, of any status, has the key."""
    with tenancy.system("license key"):
        return (
            License.objects.with_key(key_hash).exists()
            or License.objects.with_previous_key(key_hash, timezone.now()).exists()
        )


def feature_named(license_: License, name: str) -> FeatureRow | None:
    """Returns a feature by slug (`databases`), limit (`max_databases`) or action (`create_database`)."""
    for row in feature_rows(license_):
        if name in (row["slug"], f"max_{row['slug']}", row["action"]):
            return row
    return None


def feature_rows(license_: License) -> list[FeatureRow]:
    return license_.feature_rows  # type: ignore[attr-defined]  # annotated by for_validation()


def refused_for_state(license_: License, now: datetime) -> Verdict | None:
    """Returns the result for a license that is not active; None for an active one."""
    status = license_.status_at(now)
    if status not in _INACTIVE:
        return None
    code, detail = _INACTIVE[status]
    if status == License.Status.SUSPENDED:
        detail = (
            f"The license is suspended. Its owner can write to {settings.SUPPORT_EMAIL}."
            if license_.is_held_by_staff
            else _SUSPENDED_FOR_PAYMENT
        )
    return Verdict(code, detail, license_, status)


def _refused_for_server(license_: License, fingerprint: str | None, now: datetime) -> Verdict | None:
    """Returns the refusal for a server without activation; None if it is activated, or none is required."""
    if not license_.requires_activation:
        return None
    alive = License.Status.ACTIVE
    if not fingerprint:
        return Verdict(Code.FINGERPRINT_REQUIRED, "Send the server's fingerprint.", license_, alive)
    seen_at: datetime | None = license_.server_seen_at  # type: ignore[attr-defined]  # by for_validation()
    if seen_at is None:
        with tenancy.tenant(license_.organization_id):
            is_full = activations_taken(license_, now) >= license_.activation_limit
        if is_full:
            return Verdict(Code.TOO_MANY_ACTIVATIONS, all_taken(license_), license_, alive)
        return Verdict(Code.NOT_ACTIVATED, "Activate this server first.", license_, alive)
    if is_dead(license_, seen_at, now):
        return Verdict(
            Code.HEARTBEAT_DEAD, "This server missed its heartbeats. Activate it again.", license_, alive
        )
    return None


def activations_taken(license_: License, now: datetime) -> int:
    """Returns the number of servers with an activation that counts, at most MAX_ACTIVATIONS."""
    return license_.activations.alive(license_, now).count_up_to(MAX_ACTIVATIONS)


def all_taken(license_: License) -> str:
    return f"All {license_.activation_limit} activations are in use. Deactivate another server first."


def is_dead(license_: License, last_heartbeat_at: datetime, now: datetime) -> bool:
    """Returns whether a server has missed its heartbeats."""
    hours = license_.heartbeat_hours
    return hours is not None and now - last_heartbeat_at > timedelta(hours=hours)


def _answer(license_: License, name: str | None, quantity: int) -> Verdict:
    alive = License.Status.ACTIVE
    if name is None:
        return Verdict(Code.VALID, "The license is active.", license_, alive)
    feature = feature_named(license_, name)
    if feature is None:
        return Verdict(Code.FEATURE_NOT_INCLUDED, f"The plan does not include {name}.", license_, alive)
    limit, used, slug = feature["limit"], feature["used"], feature["slug"]
    if limit is not None and used + quantity > limit:
        detail = f"{used} of {limit} {slug} are in use. A larger plan includes more."
        return Verdict(Code.LIMIT_REACHED, detail, license_, alive, feature)
    left = "unlimited" if limit is None else f"{limit - used} of {limit} {slug} left"
    return Verdict(Code.VALID, f"Allowed: {left}.", license_, alive, feature)
