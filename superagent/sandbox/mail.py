"""Postmark's API: mail that the product sends is stored here and shown, not delivered."""

import json
import re
import uuid
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from superagent.sandbox.store import store

ADDRESS = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$|^[^@\s]+@localhost$")
FIELDS = {
    "From",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Tag",
    "HtmlBody",
    "TextBody",
    "ReplyTo",
    "Headers",
    "TrackOpens",
    "TrackLinks",
    "Metadata",
    "Attachments",
    "MessageStream",
}
BATCH_LIMIT = 500


class Rejected(Exception):
    """A message that Postmark would refuse: its error code and the reason."""

    def __init__(self, code: int, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> dict[str, Any]:
        """Returns Postmark's form of the error."""
        return {"ErrorCode": self.code, "Message": self.message}


def _check(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise Rejected(402, "Invalid JSON: a message must be an object.")
    unknown = set(message) - FIELDS
    if unknown:
        raise Rejected(402, f"Invalid JSON: unknown field {min(unknown)!r}.")
    for name in ("From", "To"):
        given = getaddresses([message.get(name) or ""])
        if not given or not all(ADDRESS.match(address) for _, address in given):
            raise Rejected(300, f"Error parsing '{name}': illegal email address.")
    if not message.get("HtmlBody") and not message.get("TextBody"):
        raise Rejected(300, "Provide either email TextBody or HtmlBody or both.")
    return message


def _keep(message: dict[str, Any]) -> dict[str, Any]:
    message_id, sent_at = str(uuid.uuid4()), datetime.now(UTC)
    with store.transaction():
        store.add(
            {
                "id": f"mail_{message_id}",
                "object": "_mail",
                "sent_at": sent_at.isoformat(),
                "wire": message,
                "recipients": [
                    address.lower()
                    for _, address in getaddresses([message.get(name) or "" for name in ("To", "Cc", "Bcc")])
                ],
            }
        )
    submitted = sent_at.isoformat().replace("+00:00", "Z")
    return {
        "To": message["To"],
        "SubmittedAt": submitted,
        "MessageID": message_id,
        "ErrorCode": 0,
        "Message": "OK",
    }


async def _body(request: Request) -> Any:
    if not request.headers.get("x-postmark-server-token", "").strip():
        raise Rejected(10, "The request does not contain a valid Server token.", status=401)
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise Rejected(402, "Received invalid JSON input.") from error


async def send(request: Request) -> Response:
    """POST /postmark/email"""
    try:
        return JSONResponse(_keep(_check(await _body(request))))
    except Rejected as error:
        return JSONResponse(error.body(), status_code=error.status)


async def send_batch(request: Request) -> Response:
    """POST /postmark/email/batch: each message is answered on its own."""
    try:
        messages = await _body(request)
        if not isinstance(messages, list):
            raise Rejected(402, "Invalid JSON: a batch must be an array.")
        if len(messages) > BATCH_LIMIT:
            raise Rejected(410, f"A batch may hold {BATCH_LIMIT} messages at most.")
    except Rejected as error:
        return JSONResponse(error.body(), status_code=error.status)
    answers = []
    for message in messages:
        try:
            answers.append(_keep(_check(message)))
        except Rejected as error:
            answers.append(error.body())
    return JSONResponse(answers)


def kept(to: str | None = None) -> list[dict[str, Any]]:
    """Returns the messages to an address, or all, newest first."""
    wanted = to.strip().lower() if to else None
    return [item for item in store.each("_mail") if wanted is None or wanted in item["recipients"]][::-1]


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """Returns a message as `mail.json` shows it."""
    wire = item["wire"]
    addresses = [address for _, address in getaddresses([wire["To"]])]
    return {
        "id": item["id"],
        "to": addresses[0] if addresses else "",
        "from": wire["From"],
        "subject": wire.get("Subject") or "",
        "text": wire.get("TextBody") or "",
        "html": wire.get("HtmlBody") or "",
        "sent_at": item["sent_at"],
    }


async def as_json(request: Request) -> Response:
    """GET /_sandbox/mail.json?to=ADDRESS"""
    return JSONResponse([bare(item) for item in kept(request.query_params.get("to"))])


routes = [
    Route("/postmark/email", send, methods=["POST"]),
    Route("/postmark/email/batch", send_batch, methods=["POST"]),
    Route("/_sandbox/mail.json", as_json),
]
