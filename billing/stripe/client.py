"""The only Stripe client: timeouts, retries and translated errors. Callers give idempotency keys.

`billing.stripe.patience` decides how long a call may take, and whether it is made while Stripe is down.

Every function returns plain dicts (Stripe's objects as JSON) and raises one of four errors. Each is a `Refusal`, so a
view can show it, and tells the outbox whether to try again. Nothing here writes to the database. Keys and card data
never reach a log: what is logged of an error is its type, code and request id.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import stripe
import structlog
from django.conf import settings

from billing.stripe import batches, patience
from superagent.foundation import retries
from superagent.foundation.problems import Refusal

API_VERSION: str = settings.STRIPE_API_VERSION
NETWORK_RETRIES = 2
CONNECT_SECONDS = 2.0
LEAST_SECONDS = 0.5  # with less, a call cannot succeed
RETRY_SECONDS = 2.5  # a retry waits up to two seconds first
WEBHOOK_TOLERANCE_SECONDS = 300
READS = frozenset({"retrieve", "list", "create_preview"})  # every other operation changes something at Stripe

log = structlog.get_logger(__name__)
Json = dict[str, Any]


class Unavailable(Refusal, retries.Retryable):
    """Stripe is down, slow or busy. After a time-out the outcome is unknown: repeat with the same key, or look up."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "payments_unavailable"
    title = "The payment service cannot be reached right now"

    def __init__(self, detail: str = "Nothing was lost. Try again in a minute.", **facts: Any) -> None:
        super().__init__(detail, headers={"Retry-After": "30"}, **facts)


class Rejected(Refusal, retries.Permanent):
    """Stripe refused the request; a retry would be refused again."""

    status = HTTPStatus.BAD_GATEWAY
    code = "payments_rejected"
    title = "The payment service refused the request"

    def __init__(self, detail: str = "", *, stripe_code: str = "", param: str = "") -> None:
        super().__init__(detail)
        self.stripe_code = stripe_code
        self.param = param


class StripeObjectMissing(Rejected):
    """The object does not exist at Stripe, or was deleted."""


class Declined(Refusal, retries.Permanent):
    """The customer's bank declined the card."""

    status = HTTPStatus.PAYMENT_REQUIRED
    code = "card_declined"
    title = "The card was declined"


class ChargingDisabled(Refusal, retries.Postponed):
    """An operator disabled charging; queued work waits until it is enabled."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "charging_disabled"
    title = "Purchases are switched off for the moment"

    def __init__(self) -> None:
        super().__init__("Purchases are switched off for maintenance. Try again later.")


class BadSignature(Exception):
    """A webhook whose signature does not match the secret, or is too old."""


def require_charging() -> None:
    """Raises ChargingDisabled while the kill switch is on."""
    if not settings.CHARGING_ENABLED:
        raise ChargingDisabled


class _NotAsked(stripe.APIConnectionError):
    """The call was not made: no time is left to wait for it."""


class PatientClient(stripe.RequestsClient):
    """Waits no longer than the caller's budget, and does not retry without time or while Stripe is down."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    @property
    def _timeout(self) -> tuple[float, float]:
        """To connect, and to answer."""
        left = patience.seconds_left()
        whole = self._seconds if left is None else max(0.1, min(self._seconds, left))
        connect = min(CONNECT_SECONDS, whole / 2)
        return connect, whole if left is None else whole - connect

    @_timeout.setter
    def _timeout(self, value: Any) -> None:
        """The base class sets its own."""

    def request(  # type: ignore[override]  # its base overrides its own base in the same way
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            patience.breaker.check()
            if (patience.seconds_left() or LEAST_SECONDS) < LEAST_SECONDS:
                raise patience.OutOfPatience("the request's time budget for Stripe is used up")
            with patience.slot():
                return self._ask(method, url, headers, post_data)
        except patience.OutOfPatience as error:
            raise _NotAsked(str(error), should_retry=False) from error

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = super().request(method, url, headers, post_data)
        except stripe.APIConnectionError:
            patience.breaker.timed_out()
            raise
        patience.breaker.answered()
        return answer

    def _should_retry(self, *args: Any, **kwargs: Any) -> bool:
        left = patience.seconds_left()
        has_time = left is None or left > RETRY_SECONDS
        return bool(has_time and not patience.breaker.is_open and super()._should_retry(*args, **kwargs))


def be_patient() -> None:
    """Apply our timeouts to calls that bypass this client, such as dj-stripe's own."""
    stripe.default_http_client = PatientClient(seconds=settings.STRIPE_TIMEOUT_SECONDS)
    stripe.max_network_retries = 0


@functools.cache
def _client() -> stripe.StripeClient:
    host = getattr(settings, "STRIPE_API_HOST", "")
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=API_VERSION,
        base_addresses={"api": host} if host else {},
        max_network_retries=NETWORK_RETRIES,
        http_client=PatientClient(seconds=settings.STRIPE_TIMEOUT_SECONDS),
    )


def call(operation: str, *path: str, key: str | None = None, params: Json | None = None) -> Json:
    """`call("invoices.finalize_invoice", "in_1", key=…, params=…)`: one call of the client's v1 services.

    `key` is Stripe's idempotency key; every call that changes something needs one. Raises Unavailable, Rejected,
    StripeObjectMissing, Declined.
    """
    if operation.rpartition(".")[2] not in READS:
        batches.forget()
    return _translated(operation, _method(operation), *path, key=key, params=params).to_dict(for_json=True)


def listed(operation: str, *path: str, params: Json | None = None) -> Iterator[Json]:
    """Yields every object of a list, page by page."""
    page = _translated(
        operation, _method(operation), *path, key=None, params={"limit": 100, **(params or {})}
    )
    while True:
        yield from (item.to_dict(for_json=True) for item in page.data)
        if not page.has_more or not page.data:
            return
        page = _translated(
            operation,
            _method(operation),
            *path,
            key=None,
            params={"limit": 100, **(params or {}), "starting_after": page.data[-1].id},
        )


def _method(operation: str) -> Callable[..., Any]:
    found: Any = _client().v1
    for name in operation.split("."):
        found = getattr(found, name)
    return found


def _translated(
    operation: str, method: Callable[..., Any], *path: str, key: str | None, params: Json | None
) -> Any:
    options: Json = {"idempotency_key": key} if key else {}
    try:
        return method(*path, params=params or {}, options=options)
    except stripe.CardError as error:
        _note(operation, error)
        raise Declined(
            error.user_message or "Use another card.", decline_code=_decline_code(error)
        ) from error
    except stripe.InvalidRequestError as error:
        _note(operation, error)
        kind = (
            StripeObjectMissing
            if error.code == "resource_missing" and error.param in _ID_PARAMS
            else Rejected
        )
        raise kind(
            error.user_message or str(error), stripe_code=error.code or "", param=error.param or ""
        ) from error
    except stripe.IdempotencyError as error:
        _note(operation, error)
        if error.http_status == HTTPStatus.CONFLICT:  # a request with the same key is in progress
            raise Unavailable from error
        raise Rejected(type(error).__name__, stripe_code=error.code or "") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # A wrong API key is our fault, not the request's: retry once the key is fixed.
        _note(operation, error)
        log.error("stripe_refuses_our_key", operation=operation, alarm=True)
        raise Unavailable from error
    except stripe.StripeError as error:
        _note(operation, error)
        raise Unavailable from error


# What Stripe names in `param` when the object of the path is missing; any other is a field of the request.
_ID_PARAMS = frozenset({"id", "customer", "subscription", "invoice", "session", "intent", "charge", "price", "product",
                        "refund", "payment_method", "test_clock", "test_clock_id", "invoiceitem", None})  # fmt: skip


def _decline_code(error: stripe.CardError) -> str:
    body: Any = error.json_body or {}
    return str(body.get("error", {}).get("decline_code") or error.code or "")


def _note(operation: str, error: stripe.StripeError) -> None:
    log.warning(
        "stripe_error",
        operation=operation,
        error=type(error).__name__,
        code=error.code,
        http_status=error.http_status,
        stripe_request=error.request_id,
    )


def as_stripe_object(data: Json) -> Any:
    """Returns plain JSON as the library's object, which dj-stripe's mirror needs."""
    return stripe.convert_to_stripe_object(data)


def verify_signature(*, payload: str, header: str, secrets: Sequence[str]) -> None:
    """Raises BadSignature unless one of `secrets` signed `payload` within five minutes of now, on either side."""
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(
                payload, header, secret, tolerance=WEBHOOK_TOLERANCE_SECONDS
            )
        except stripe.SignatureVerificationError:
            continue
        break
    else:
        raise BadSignature("no secret of this endpoint signed it, or it is too old")
    signed_at = int(next(part[2:] for part in header.split(",") if part.startswith("t=")))
    if signed_at > time.time() + WEBHOOK_TOLERANCE_SECONDS:
        raise BadSignature("its timestamp is in the future")
