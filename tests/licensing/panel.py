"""A control panel as its maker would write it: only JSON, hashes and the published key, nothing of our own code."""

import base64
import hashlib
import json
import time
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client

HEADER = "SuperAgent-Signature"
MAX_SKEW_SECONDS = 120


class Forged(Exception):
    """The answer is not our license server's answer to this question."""


class Panel:
    """Asks with a nonce of its own and believes nothing that is not signed for its question."""

    def __init__(self, client: Client) -> None:
        self.client = client
        published = client.get("/api/v1/licenses/public-keys").json()["data"]
        self.pinned = {entry["keyid"]: base64.b64decode(entry["public_key"]) for entry in published}

    def question(self, **fields: Any) -> bytes:
        return json.dumps({"nonce": uuid4().hex} | fields).encode()

    def send(self, endpoint: str, body: bytes, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/licenses/{endpoint}", body, content_type="application/json", **headers
        )

    def ask(self, endpoint: str = "validate", **fields: Any) -> dict[str, Any]:
        body = self.question(**fields)
        return self.believe(body, self.send(endpoint, body), endpoint)

    def believe(self, question: bytes, response: Any, endpoint: str = "validate") -> dict[str, Any]:
        """The answer, if it is signed for the `question`. Raises Forged, and InvalidSignature."""
        if HEADER not in response:
            raise Forged("not signed")
        fields = dict(part.strip().split("=", 1) for part in response[HEADER].split(","))
        public = Ed25519PublicKey.from_public_bytes(self.pinned[fields["keyid"]])
        nonce = json.loads(question).get("nonce") or ""
        signed = f"{fields['ts']}\n{nonce}\n".encode() + response.content
        public.verify(base64.b64decode(fields["sig"]), signed)
        if abs(time.time() - int(fields["ts"])) > MAX_SKEW_SECONDS:
            raise Forged("too old")
        answer: dict[str, Any] = json.loads(response.content)
        if answer["asked"]["body_sha256"] != hashlib.sha256(question).hexdigest():
            raise Forged("the answer to another question")
        if answer["asked"]["endpoint"] != endpoint:
            raise Forged("the answer of another endpoint")
        return answer
