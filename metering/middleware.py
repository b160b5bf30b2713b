"""Request metering: every answered API call of an organization is a line in the spool before its answer leaves.

Answers that do not count (401, 403, 429, 5xx) give their unit of the request quota back; calls that lead out of an
exhausted quota take none (`is_counted`). Streams are written when they end, however they end.
"""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, cast

import structlog
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponseBase

from accounts.principals import Principal
from metering.admission import counters
from metering.admission.charges import Charge
from metering.request_path import shipping, spool
from superagent.foundation.identifiers import uuid7_hex
from superagent.foundation.middleware import IdentifiedRequest, WrappingMiddleware

PREFIX = "/api/v1/"
UNCOUNTED = frozenset({401, 403, 429})
MAX_PATH = 500
MAX_ENDPOINT = 200
MAX_BYTES = 2**40
MAX_DIGITS = 19

# With an exhausted quota one must still be able to see it, pay, change the plan and revoke a stolen key.
_WAY_OUT = re.compile(
    r"api/v1/(?:"
    r"(?:auth|users|organizations|api-keys|quotas|credits|licenses|billing|subscriptions|orders)(?:/|$)"
    r"|reservations/[^/]+/(?:commit|release)$"
    r"|domains/[^/]+/renew$"
    r")"
)

log = structlog.get_logger(__name__)


def is_counted(request: HttpRequest) -> bool:
    """Returns True if `request` takes a unit of the quota. An unknown address (404) takes none."""
    match = request.resolver_match
    return match is not None and _is_counted(match.route)


@lru_cache(maxsize=1024)
def _is_counted(route: str) -> bool:
    return _WAY_OUT.match(route) is None


class RequestMetering(WrappingMiddleware):
    def around(self, request: HttpRequest) -> nullcontext[int]:
        return nullcontext(time.time_ns())

    def after(self, request: HttpRequest, response: Any, started_ns: int) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return response
        meter = _Meter.of(request, response, started_ns)
        if meter is not None:
            if response.streaming:
                # One synchronous middleware below makes the chain synchronous, an async view's stream stays async.
                counting = meter.count_bytes_async if response.is_async else meter.count_bytes
                response.streaming_content = counting(response.streaming_content)
            else:
                meter.refund_uncounted()
                meter.write(len(response.content))
        return response

    async def after_async(self, request: HttpRequest, response: Any, started_ns: int) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return response
        meter = await sync_to_async(_Meter.of)(request, response, started_ns)  # it may give a unit back
        if meter is not None:
            if response.streaming:
                response.streaming_content = meter.count_bytes_async(response.streaming_content)
            else:
                await sync_to_async(meter.refund_uncounted)()
                await sync_to_async(meter.write)(len(response.content))
        return response


class _Meter:
    """One request whose response is known."""

    __slots__ = ("charge", "is_counted", "principal", "request", "started_ns", "status")

    def __init__(self, request: HttpRequest, principal: Principal, status: int, started_ns: int) -> None:
        self.request = request
        self.principal = principal
        self.status = status
        self.started_ns = started_ns
        self.charge: Charge | None = getattr(request, "charge", None)
        self.is_counted = bool(
            self.charge and self.charge.is_taken and status < 500 and status not in UNCOUNTED
        )

    @classmethod
    def of(cls, request: HttpRequest, response: HttpResponseBase, started_ns: int) -> "_Meter | None":
        """Returns None for what is not metered. Adds the rate limit headers to the response."""
        principal = getattr(request, "principal", None)
        if principal is None:
            _give_back(getattr(request, "charge", None))
            return None
        meter = cls(request, principal, response.status_code, started_ns)
        limits = meter.charge or getattr(request, "pace", None)
        if limits is not None:
            clock = principal.test_clock_time
            now = clock.timestamp() if clock else started_ns / 1_000_000_000
            for name, value in limits.headers(now):
                response.headers[name] = value
        return meter

    def refund_uncounted(self) -> None:
        """Refund the unit of a response that does not count."""
        if not self.is_counted:
            _give_back(self.charge)

    def write(self, response_bytes: int) -> None:
        duration_us = max(0, time.time_ns() - self.started_ns) // 1000  # the clock may have been set back
        line = self._line(duration_us, response_bytes)
        try:
            spool.writer().append(line)
        except OSError as error:
            log.error("spool_refused", alarm=True, error=str(error))
            spool.refused_lines.inc()
            self._write_past_the_spool(line)

    def _write_past_the_spool(self, line: bytes) -> None:
        if self._is_in_event_loop():
            # PostgreSQL may not be asked here, nor may anything be awaited; the process waits for this thread.
            threading.Thread(target=_write_in_thread, args=(line,), name="past-the-spool").start()
        else:
            _write_now(line)

    @staticmethod
    def _is_in_event_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def count_bytes(self, content: Iterator[bytes]) -> Iterator[bytes]:
        sent = 0
        try:
            for part in content:
                sent += len(part)
                yield part
        finally:
            self.refund_uncounted()
            self.write(sent)

    async def count_bytes_async(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        sent = 0
        try:
            async for part in content:
                sent += len(part)
                yield part
        finally:
            # Nothing is awaited here: the task may be on its way to be cancelled.
            self.write(sent)

    def _line(self, duration_us: int, response_bytes: int) -> bytes:
        request, principal, charge = self.request, self.principal, self.charge
        clock = principal.test_clock_time
        started_us = int(clock.timestamp() * 1_000_000) if clock else self.started_ns // 1000
        counted = spool.NOT_COUNTED
        if self.is_counted and charge is not None:
            started_us = charge.facts.within(started_us)
            counted = spool.COUNTED
        match = request.resolver_match
        request_id = cast(IdentifiedRequest, request).request_id
        is_own_id = "HTTP_X_REQUEST_ID" not in request.META  # a UUIDv7 of this request alone
        fields = (
            spool.VERSION,
            request_id if is_own_id else uuid7_hex(),
            request_id,
            principal.organization_id.hex,
            principal.user_id.hex if principal.user_id else spool.NONE,
            principal.api_key_id.hex if principal.api_key_id else spool.NONE,
            charge.facts.period_id.hex if charge else spool.NONE,
            (request.method or "")[:10],
            f"/{match.route}"[:MAX_ENDPOINT] if match else "",
            _printable(request.path_info)[:MAX_PATH],
            str(self.status),
            str(duration_us),
            str(_request_bytes(request)),
            str(response_bytes),
            counted,
            str(started_us),
            (charge.facts.seed if charge else "") or spool.NONE,
        )
        return ("\t".join(fields) + "\n").encode(errors="replace")


def _write_now(line: bytes) -> None:
    """Raises nothing: the response is sent even if the request cannot be recorded."""
    try:
        shipping.write_now(line)
    except Exception:
        log.exception("request_not_recorded", alarm=True)
        spool.lost_requests.inc()


def _write_in_thread(line: bytes) -> None:
    try:
        _write_now(line)
    finally:
        connection.close()


def _printable(path: str) -> str:
    """Returns `path` without tabs and line ends, which separate fields, and without what PostgreSQL cannot store."""
    return path if path.isprintable() else "".join(each if each.isprintable() else "?" for each in path)


def _request_bytes(request: HttpRequest) -> int:
    """Returns Content-Length, at most MAX_BYTES."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return min(int(length), MAX_BYTES) if length.isdecimal() and len(length) < MAX_DIGITS else 0


def _give_back(charge: Charge | None) -> None:
    if charge is not None and charge.is_taken:
        counters.refund(charge)
