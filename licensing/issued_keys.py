"""License keys of issued licenses: created, revealed, rotated, stored encrypted."""

from datetime import datetime, timedelta
from http import HTTPStatus

import structlog
from django.db import transaction

from accounts import audit
from accounts.models import User
from licensing import keys, vault
from licensing.announcements import announce
from licensing.models import License
from licensing.transitions import locked
from superagent.foundation.problems import Refusal

log = structlog.get_logger(__name__)


class Ended(Refusal):
    status = HTTPStatus.CONFLICT
    code = "license_ended"
    title = "The license has ended"


class KeyUnreadable(Refusal):
    """It is encrypted with a key that this installation lacks."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "license_key_unreadable"
    title = "The license key cannot be shown right now"


def put_new(license_: License, *, now: datetime) -> str:
    """Set a new key on the unsaved `license_`. Returns the key."""
    plain = keys.generate(license_.policy.key_prefix)
    symbols = keys.canonical(plain)
    license_.key_hash = keys.digest(symbols)
    license_.key_encrypted = vault.encrypt(plain)
    license_.key_prefix, license_.key_tail = plain.split("-")[0], plain[-keys.GROUP :]
    license_.key_made_at = now
    return plain


def rotate(*, license_: License, actor: User, now: datetime, grace: timedelta) -> str:
    """Replace the key. Returns the new one. The old one keeps working for `grace`, and servers stay activated.

    Without grace (the old one may have leaked), it stops working immediately and every server must activate again.
    Raises Ended.
    """
    with transaction.atomic():
        row = locked(license_.pk)
        if row.status_at(now) in (License.Status.REVOKED, License.Status.EXPIRED):
            raise Ended("A new key would not work either.")
        works_until = now + grace if grace else None
        row.previous_key_hash = row.key_hash if grace else None
        row.previous_key_works_until = works_until
        plain = put_new(row, now=now)
        row.save()
        freed = 0 if grace else row.activations.all().delete()[0]
        announce(
            license_=row,
            action="license.key_rotated",
            actor=actor,
            detail={
                "activations_removed": freed,
                "old_key_works_until": works_until.isoformat() if works_until else None,
            },
        )
        return plain


def reveal(*, license_: License, actor: User | None) -> str:
    """Returns the key in plain text, and records that in the audit trail. Raises KeyUnreadable."""
    with transaction.atomic():
        plain = _decrypted(license_)
        audit.record(
            action="license.key_revealed", organization=license_.organization, actor=actor, target=license_
        )
        return plain


def shown_before(license_: License) -> str:
    """Returns the key again after `reveal`, without another audit entry. Raises KeyUnreadable."""
    return _decrypted(license_)


def _decrypted(license_: License) -> str:
    try:
        return vault.decrypt(bytes(license_.key_encrypted))
    except vault.DecryptionFailed as error:
        log.error("license_key_unreadable", license=str(license_.pk), alarm=True)
        raise KeyUnreadable(
            "We cannot decrypt it and have been notified. The license itself works. The API returns its other fields "
            "with `fields=`."
        ) from error


def reencrypt_all() -> int:
    """Re-encrypt every key with the newest encryption key. Returns the number. Raises vault.DecryptionFailed."""
    count = 0
    for pk in License.objects.order_by("id").values_list("pk", flat=True).iterator(chunk_size=1000):
        with transaction.atomic():
            license_ = License.objects.select_for_update().get(pk=pk)
            license_.key_encrypted = vault.reencrypt(bytes(license_.key_encrypted))
            license_.save(update_fields=["key_encrypted"])
        count += 1
    return count
