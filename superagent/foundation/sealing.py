"""Secrets that must be shown once more within a day: encrypted with a key that is derived from SECRET_KEY.

Fernet (AES-128-CBC with HMAC-SHA-256). Not for what is kept: after SECRET_KEY was changed nothing can be opened.
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
    """Returns the text, or None if SECRET_KEY is another one now."""
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
