"""Encryption of license keys at rest, so that they can be shown again to members with the permission.

Fernet (AES-128-CBC with HMAC-SHA-256). LICENSE_ENCRYPTION_KEY may list several keys, newest first: the first encrypts,
all decrypt. After `manage.py rotate_license_encryption`, remove the old ones from the list.
"""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from licensing.secret_files import secrets_of


class DecryptionFailed(Exception):
    """No key of LICENSE_ENCRYPTION_KEY decrypts this: one was removed from the list too early."""


def encrypt(plain_text: str) -> bytes:
    return _fernet().encrypt(plain_text.encode())


def decrypt(cipher_text: bytes) -> str:
    """Returns the plain text. Raises DecryptionFailed."""
    try:
        return _fernet().decrypt(bytes(cipher_text)).decode()
    except InvalidToken as error:
        raise DecryptionFailed(
            "A license key was encrypted with a key that LICENSE_ENCRYPTION_KEY lacks."
        ) from error


def reencrypt(cipher_text: bytes) -> bytes:
    """Returns the secret encrypted with the newest key. Raises DecryptionFailed."""
    try:
        return _fernet().rotate(bytes(cipher_text))
    except InvalidToken as error:
        raise DecryptionFailed(
            "A license key was encrypted with a key that LICENSE_ENCRYPTION_KEY lacks."
        ) from error


def check() -> None:
    """Raises ImproperlyConfigured when LICENSE_ENCRYPTION_KEY is missing or malformed."""
    _fernet()


def new_key() -> str:
    return Fernet.generate_key().decode()


def _fernet() -> MultiFernet:
    values = secrets_of("LICENSE_ENCRYPTION_KEY", settings.LICENSE_ENCRYPTION_KEY, new_key)
    try:
        return MultiFernet([Fernet(value) for value in values])
    except ValueError as error:
        raise ImproperlyConfigured(
            "LICENSE_ENCRYPTION_KEY must hold Fernet keys: the base64 of 32 bytes."
        ) from error
