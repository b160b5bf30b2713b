"""Which servers run on a license: at most so many at a time, counted under the lock of the license's row."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from licensing import validation
from licensing.models import Activation, License
from licensing.usage import Stopped, license_with_key
from superagent.foundation import clock, tenancy


@dataclass(frozen=True, slots=True)
class Seat:
    """A server's activation, and how many there are now."""

    activation: Activation
    taken: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Seats:
    """How many servers run on a license now, and may."""

    taken: int
    limit: int | None


def activate(*, license_key: str, fingerprint: str, label: str) -> Seat:
    """Let a server run on the license; one that is activated already stays so.

    A server that was silent for longer than the policy's heartbeat makes room. Raises Stopped (TOO_MANY_ACTIVATIONS,
    SUSPENDED, …) and Unknown.
    """
    license_ = license_with_key(license_key)
    now = clock.now(license_.organization)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked(license_)
        if refused := validation.refused_for_state(locked, now):
            raise Stopped(refused.detail, refused.code)
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
        return _seat(locked, activation)


def deactivate(*, license_key: str, fingerprint: str) -> Seats:
    """Free the server's activation; nothing happens if it has none. Raises Unknown."""
    license_ = license_with_key(license_key)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked(license_)
        locked.activations.filter(fingerprint=fingerprint).delete()
        return Seats(locked.activations.count(), locked.max_activations)


def heartbeat(*, license_key: str, fingerprint: str) -> Seat:
    """The server is alive. Raises Stopped (NOT_ACTIVATED, HEARTBEAT_DEAD, SUSPENDED, …) and Unknown."""
    license_ = license_with_key(license_key)
    now = clock.now(license_.organization)
    if refused := validation.refused_for_state(license_, now):
        raise Stopped(refused.detail, refused.code)
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        locked = _locked(license_)
        activation = locked.activations.filter(fingerprint=fingerprint).first()
        if activation is None:
            raise Stopped("Activate this server first.", validation.Code.NOT_ACTIVATED)
        if validation.is_dead(locked, activation.last_heartbeat_at, now):
            detail = "This server was silent for too long: activate it again."
            raise Stopped(detail, validation.Code.HEARTBEAT_DEAD)
        activation.last_heartbeat_at = now
        activation.save(update_fields=["last_heartbeat_at"])
        return _seat(locked, activation)


def _seat(license_: License, activation: Activation) -> Seat:
    return Seat(activation, license_.activations.count(), license_.max_activations)


def _locked(license_: License) -> License:
    return License.objects.select_for_update(of=("self",)).select_related("organization").get(pk=license_.pk)


def _make_room(license_: License, now: datetime, besides: Activation | None = None) -> None:
    """Forget servers that fell silent, then refuse if the rest are as many as may be."""
    alive = 0
    for other in license_.activations.exclude(pk__in=[besides.pk] if besides else []):
        if validation.is_dead(license_, other.last_heartbeat_at, now):
            other.delete()
        else:
            alive += 1
    if license_.max_activations is not None and alive >= license_.max_activations:
        raise Stopped(
            f"All {license_.max_activations} activations are taken: deactivate another server first.",
            validation.Code.TOO_MANY_ACTIVATIONS,
        )
