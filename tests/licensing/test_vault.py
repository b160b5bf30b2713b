"""License keys are encrypted, and encryption keys can be rotated."""

import pytest

from licensing import vault
from licensing.models import License


def test_encryption_keys_can_be_rotated(
    settings, system_scope: None, license_: License, license_key: str
) -> None:
    old, new = vault.new_key(), vault.new_key()
    settings.LICENSE_ENCRYPTION_KEY = old
    secret = vault.encrypt(license_key)
    settings.LICENSE_ENCRYPTION_KEY = f"{new}, {old}"
    assert vault.decrypt(secret) == license_key
    again = vault.reencrypt(secret)
    settings.LICENSE_ENCRYPTION_KEY = new
    assert vault.decrypt(again) == license_key
    with pytest.raises(vault.DecryptionFailed):
        vault.decrypt(secret)
