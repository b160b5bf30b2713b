"""Signed responses, so that a control panel can tell our license server from an impostor that answers VALID.

Ed25519 over `ts`, a line feed, the caller's `nonce` (empty without one), a line feed and the body as sent. The nonce
prevents replays of old responses; `asked` in the body, with the SHA-256 of the raw request, prevents passing off the
response to another request, say for another key. Public keys are at GET /api/v1/licenses/public-keys.
LICENSE_SIGNING_KEY is the base64 of a 32-byte seed, or several, newest first: the first signs, all are published.
"""

import base64
import binascii
import hashlib
import json
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rest_framework.utils.encoders import JSONEncoder

from licensing.secret_files import secrets_of

HEADER = "SuperAgent-Signature"
ALGORITHM = "Ed25519"
SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    keyid: str
    private: Ed25519PrivateKey
    public: bytes


@dataclass(frozen=True, slots=True)
class SignedResponse:
    """The body to send, and the value of the header `SuperAgent-Signature`."""

    body: bytes
    signature: str


def signed_answer(answer: dict[str, Any], *, asked: dict[str, Any], nonce: str | None) -> SignedResponse:
    """Returns `answer` with `asked`, `nonce` and `ts` added, signed. `ts` is real time, never a test clock's."""
    ts = int(time.time())
    whole = answer | {"asked": asked, "nonce": nonce, "ts": ts}
    body = json.dumps(whole, separators=(",", ":"), cls=JSONEncoder).encode()
    return SignedResponse(body, signature(body=body, nonce=nonce or "", ts=ts))


def signature(*, body: bytes, nonce: str, ts: int) -> str:
    """Returns the value of the header `SuperAgent-Signature`. `ts` is in Unix seconds, real time."""
    key = signing_keys()[0]
    signed = key.private.sign(f"{ts}\n{nonce}\n".encode() + body)
    return f"keyid={key.keyid}, ts={ts}, sig={base64.b64encode(signed).decode()}"


def public_keys() -> list[dict[str, str | bool]]:
    """Returns the public keys that verify signatures, the current one first."""
    return [
        {
            "keyid": key.keyid,
            "algorithm": ALGORITHM,
            "public_key": base64.b64encode(key.public).decode(),
            "is_signing": index == 0,
        }
        for index, key in enumerate(signing_keys())
    ]


def signing_keys() -> list[SigningKey]:
    """Returns the keys of LICENSE_SIGNING_KEY, newest first. Raises ImproperlyConfigured."""
    values = secrets_of("LICENSE_SIGNING_KEY", settings.LICENSE_SIGNING_KEY, new_seed)
    return [_opened(value) for value in values]


def new_seed() -> str:
    return base64.b64encode(os.urandom(SEED_BYTES)).decode()


@lru_cache(maxsize=8)
def _opened(value: str) -> SigningKey:
    try:
        seed = base64.b64decode(value, validate=True)
        private = Ed25519PrivateKey.from_private_bytes(seed)
    except (binascii.Error, ValueError) as error:
        raise ImproperlyConfigured("LICENSE_SIGNING_KEY must be the base64 of 32 bytes.") from error
    public = private.public_key().public_bytes_raw()
    return SigningKey(hashlib.sha256(public).hexdigest()[:16], private, public)
