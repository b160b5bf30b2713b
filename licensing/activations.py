"""Activations: the servers that use a license, limited in number under the lock of the license's row."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts import audit
from licensing import validation
from licensing.models import Activation, License
from licensing.usage import LicenseRefused, license_with_key
from superagent.foundation import clock, tenancy
from superagent.foundation.problems import NotFound

FORGOTTEN_AFTER = timedelta(days=180)
BATCH = 5000


@dataclass(frozen=True, slots=True)
class Seats:
    """The number of active servers, and the limit."""

    taken: int
    limit: int


@dataclass(frozen=True, slots=True)
class Seat(Seats):
    activation: Activation


def activate(*, license_key: str, fingerprint: str, label: str) -> Seat:
    """Activate a server on the license. Idempotent.

    If the limit is reached, activations of servers that missed their heartbeats are removed. Raises LicenseRefused
    (TOO_MANY_ACTIVATIONS, SUSPENDED, …) and UnknownLicenseKey.
    """
    license_ = license_with_key(license_key)
    now = clock.now(license_.organization)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked_alive(license_.pk, now)
        activation = locked.activations.filter(fingerprint=fingerprint).first()
        if activation is None:
            _make_room(locked, now)
            activation = Activation(
                organization_id=locked.organization_id,
                license=locked,
                fingerprint=fingerprint,
                activated_at=now,
            )
        elif validation.is_dead(locked, activation.last_heartbeat_at, now):
            _make_room(locked, now, besides=activation)
        activation.label, activation.last_heartbeat_at = label or activation.label, now
        activation.save()
        return _seat(locked, activation, now)


def deactivate(*, license_key: str, fingerprint: str) -> Seats:
    """Deactivate the server. Idempotent. Raises UnknownLicenseKey."""
    license_ = license_with_key(license_key)
    now = clock.now(license_.organization)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked(license_.pk)
        locked.activations.filter(fingerprint=fingerprint).delete()
        return Seats(validation.activations_taken(locked, now), locked.activation_limit)


def heartbeat(*, license_key: str, fingerprint: str) -> Seat:
    """Record a heartbeat. Raises LicenseRefused (NOT_ACTIVATED, HEARTBEAT_DEAD, …) and UnknownLicenseKey."""
    license_ = license_with_key(license_key)
    now = clock.now(license_.organization)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked_alive(license_.pk, now)
        activation = locked.activations.filter(fingerprint=fingerprint).first()
        if activation is None:
            raise LicenseRefused("Activate this server first.", validation.Code.NOT_ACTIVATED)
        if validation.is_dead(locked, activation.last_heartbeat_at, now):
            detail = "This server missed its heartbeats. Activate it again."
            raise LicenseRefused(detail, validation.Code.HEARTBEAT_DEAD)
        activation.last_heartbeat_at = now
        activation.save(update_fields=["last_heartbeat_at"])
        return _seat(locked, activation, now)


def remove(*, license_: License, activation_id: UUID) -> Activation:
    """Remove the activation of a lost server, on behalf of a member or staff. Raises NotFound."""
    with transaction.atomic():
        locked = _locked(license_.pk)
        activation = locked.activations.filter(pk=activation_id).first()
        if activation is None:
            raise NotFound("This server is no longer activated.")
        activation.delete()
        audit.record(
            action="license.server_removed",
            organization=license_.organization,
            target=locked,
            detail={"server": str(activation), "fingerprint": activation.fingerprint},
        )
        return activation


def forget_silent(*, now: datetime) -> int:
    """Delete activations without a heartbeat for FORGOTTEN_AFTER. Returns the number deleted.

    Activations of a license that requires them but no heartbeat are kept until the license ends.
    """
    silent = Activation.objects.filter(last_heartbeat_at__lt=now - FORGOTTEN_AFTER)
    sends_no_heartbeat = Q(
        license__requires_activation=True,
        license__heartbeat_hours__isnull=True,
        license__status__in=[License.Status.ACTIVE, License.Status.SUSPENDED, License.Status.PENDING],
    )
    forgotten = 0
    while batch := list(silent.exclude(sends_no_heartbeat).values_list("pk", flat=True)[:BATCH]):
        forgotten += silent.filter(pk__in=batch).delete()[0]
    return forgotten


def _seat(license_: License, activation: Activation, now: datetime) -> Seat:
    taken = validation.activations_taken(license_, now)
    return Seat(taken=taken, limit=license_.activation_limit, activation=activation)


def _locked(license_id: UUID) -> License:
    # NO KEY: does not block inserts of rows that refer to the license.
    rows = License.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("organization").get(pk=license_id)


def _locked_alive(license_id: UUID, now: datetime) -> License:
    """Check the license again under the lock. Raises LicenseRefused."""
    locked = _locked(license_id)
    if refused := validation.refused_for_state(locked, now):
        raise LicenseRefused(refused.detail, refused.code)
    return locked


def _make_room(license_: License, now: datetime, besides: Activation | None = None) -> None:
    """Delete activations without heartbeat if the limit is reached; refuse if the others still reach it.

    So a license never has more rows than its limit.
    """
    others = license_.activations.exclude(pk=besides.pk) if besides else license_.activations.all()
    if others.count_up_to(license_.activation_limit) < license_.activation_limit:
        return
    others.dead(license_, now).delete()
    if others.count_up_to(license_.activation_limit) >= license_.activation_limit:
        raise LicenseRefused(validation.all_taken(license_), validation.Code.TOO_MANY_ACTIVATIONS)
