"""Encryption of secrets that can be shown again within a day, with a key derived from SECRET_KEY.

Fernet (AES-128-CBC with HMAC-SHA-256). Not for long-term storage: a new SECRET_KEY makes everything unreadable.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def seal(plain_text: str) -> bytes:
    return _fernet(settings.SECRET_KEY).encrypt(plain_text.encode())


def unseal(sealed: bytes) -> str | None:
    """Returns the text, or None if SECRET_KEY has changed since."""
    try:
        return _fernet(settings.SECRET_KEY).decrypt(sealed).decode()
    except InvalidToken:
        return None


@lru_cache(maxsize=4)
def _fernet(secret_key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"superagent sealing").derive(
        secret_key.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))
