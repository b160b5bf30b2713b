"""License keys: stored encrypted, revealed with an audit entry, rotated, re-encrypted."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import AuditEntry, Organization, User
from licensing import issued_keys, keys, vault
from licensing.models import License
from superagent.foundation import tenancy
from tests.licensing.conftest import NOW


def test_the_key_is_not_stored_in_plain_text(license_: License, license_key: str) -> None:
    assert license_.key_hash == keys.digest(keys.canonical(license_key))
    assert license_key.encode() not in bytes(license_.key_encrypted)
    assert license_.masked_key == f"NP-…-{license_key[-5:]}"


def test_a_rotated_key_replaces_the_old_one(
    system_scope: None, license_: License, license_key: str, staff: User
) -> None:
    license_.activations.create(
        organization_id=license_.organization_id, fingerprint="a", activated_at=NOW, last_heartbeat_at=NOW
    )
    new = issued_keys.rotate(license_=license_, actor=staff, grace=timedelta(), now=NOW)
    assert not License.objects.with_key(keys.digest(keys.canonical(license_key))).exists()
    assert License.objects.with_key(keys.digest(keys.canonical(new))).get() == license_
    assert not license_.activations.exists()


def test_revealing_is_audited(system_scope: None, license_: License, license_key: str, staff: User) -> None:
    assert issued_keys.reveal(license_=license_, actor=staff) == license_key
    entry = AuditEntry.objects.get(action="license.key_revealed")
    assert (entry.actor, entry.organization_id) == (staff, license_.organization_id)
    assert license_key not in str(entry.detail) + entry.target_label


def test_the_command_puts_all_keys_under_the_newest_one(
    settings, organization: Organization, make_license
) -> None:
    old, new = vault.new_key(), vault.new_key()
    settings.LICENSE_ENCRYPTION_KEY = old
    license_ = make_license(organization)
    key = vault.decrypt(license_.key_encrypted)
    settings.LICENSE_ENCRYPTION_KEY = f"{new},{old}"
    call_command("rotate_license_encryption", stdout=StringIO())
    settings.LICENSE_ENCRYPTION_KEY = new
    with tenancy.system("test"):
        license_.refresh_from_db()
    assert vault.decrypt(license_.key_encrypted) == key
    settings.LICENSE_ENCRYPTION_KEY = vault.new_key()
    with pytest.raises(CommandError, match="Put it back"):
        call_command("rotate_license_encryption")
