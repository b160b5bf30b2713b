"""Request handling of the API: authentication, parameters, idempotency, faults and errors around each handler."""

import asyncio
import base64
import binascii
import hashlib
import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from superagent.sandbox.store import store
from superagent.sandbox.stripe import API_VERSION, forms, ids, moment
from superagent.sandbox.stripe.errors import StripeError
from superagent.sandbox.stripe.events import current_call
from superagent.sandbox.stripe.faults import RequestFault, faults
from superagent.sandbox.stripe.paging import page
from superagent.sandbox.stripe.render import plain, show
from superagent.sandbox.stripe.routes import Call, Page, Route, routes

logger = logging.getLogger(__name__)

SECRET_KEY = re.compile(r"^(sk|rk)_test_[A-Za-z0-9_]{8,}$")
IDEMPOTENCY_HOURS = 24


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve everything under /v1 as an ASGI application."""
    request = Request(scope, receive)
    try:
        text = (await request.body()).decode("utf-8", "replace")
    except ClientDisconnect:
        return
    fault = faults.take(request.method, request.url.path)
    answer = _struck(fault)
    if answer is None:
        if fault and fault.kind == "refuse":
            _hang_up(send)
            return
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        answer = respond(request, text)
    if fault and fault.kind == "timeout_after":
        await asyncio.sleep(fault.seconds)
        _hang_up(send)
        return
    body = json.dumps(answer.body, separators=(",", ":"))
    await Response(body, answer.status, answer.headers, "application/json")(scope, receive, send)


def _struck(fault: RequestFault | None) -> Answer | None:
    request_id = ids.new("req")
    if fault and fault.kind == "error_500":
        error = StripeError("An error occurred while processing your request.", status=500, kind="api_error")
    elif fault and fault.kind == "rate_limited":
        error = StripeError("Request rate limit exceeded.", status=429, code="rate_limit")
    else:
        return None
    return Answer(error.status, error.body(request_id), {"Request-Id": request_id})


def _hang_up(send: Send) -> None:
    # Without middleware between, `send` belongs to uvicorn's request cycle, which knows its connection.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("the sandbox was told to drop this connection")
    transport.abort()


def respond(request: Request, text: str) -> Answer:
    """Handle one request. Runs without a pause, so requests and the billing engine never interleave."""
    request_id = ids.new("req")
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    if key:
        headers["Idempotency-Key"] = key
    try:
        _authenticate(request)
        with store.transaction():
            answer = _run(request, text, request_id, key)
    except StripeError as error:
        answer = Answer(error.status, error.body(request_id))
    except Exception:
        logger.exception("%s %s failed", request.method, request.url.path)
        failure = StripeError("The sandbox failed; see its log.", status=500, kind="api_error")
        answer = Answer(500, failure.body(request_id))
    answer.headers = headers | answer.headers
    return answer


def _authenticate(request: Request) -> None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key:
        raise StripeError("You did not provide an API key.", status=401)
    if not SECRET_KEY.match(key):
        shown = f"{key[:8]}{'*' * 8}{key[-4:]}"
        raise StripeError(f"Invalid API Key provided: {shown}", status=401)
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise StripeError(f"The sandbox speaks {API_VERSION} only, not {version}.")


def _run(request: Request, text: str, request_id: str, key: str | None) -> Answer:
    method, path = request.method, request.url.path
    found = routes.match(method, path.rstrip("/"))
    if found is None:
        raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)
    tree = forms.decode("&".join(part for part in (request.url.query, text) if part))
    mark = hashlib.sha256(json.dumps([method, path, tree], sort_keys=True).encode()).hexdigest()
    if key:
        replayed = _replay(key, mark)
        if replayed:
            return replayed
    route, names = found
    params = forms.read(tree, route.params_type)
    call = Call(params, method, path, request_id, key)
    try:
        with store.transaction():
            answer = Answer(200, _handle(route, names, call))
    except StripeError as error:
        answer = Answer(error.status, error.body(request_id))
    if key:
        store.add(
            {
                "id": f"idempotency:{key}",
                "object": "_idempotency",
                "mark": mark,
                "at": moment.real(),
                "status": answer.status,
                "body": answer.body,
                "request_id": request_id,
            }
        )
    return answer


def _replay(key: str, mark: str) -> Answer | None:
    saved = store.get(f"idempotency:{key}")
    if saved is None or saved["at"] < moment.real() - IDEMPOTENCY_HOURS * moment.HOUR:
        return None
    if saved["mark"] != mark:
        message = (
            f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request."
        )
        raise StripeError(message, kind="idempotency_error")
    headers = {"Idempotent-Replayed": "true", "Original-Request": saved["request_id"]}
    return Answer(saved["status"], saved["body"], headers)


def _handle(route: Route, names: dict[str, str], call: Call) -> dict[str, Any]:
    token = current_call.set(call)
    try:
        result = route.handler(call, **names)
    finally:
        current_call.reset(token)
    expand = call.params.get("expand")
    if isinstance(result, Page):
        listed = page(result.objects, call.params, result.url)
        listed["data"] = [plain(obj) for obj in listed["data"]]
        return show(listed, expand)
    return show(result, expand)


def forget_old_keys() -> None:
    """Delete idempotency keys older than a day."""
    oldest = moment.real() - IDEMPOTENCY_HOURS * moment.HOUR
    with store.transaction():
        for saved in [saved for saved in store.each("_idempotency") if saved["at"] < oldest]:
            store.remove(saved["id"])
