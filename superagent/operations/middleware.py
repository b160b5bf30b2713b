"""Access log and request metrics."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from accounts import audit
from superagent.foundation.middleware import WrappingMiddleware
from superagent.operations import logs, metrics

# Asked every few seconds, or a dozen times for each page, and read by nobody.
QUIET = ("/health/", "/metrics", settings.STATIC_URL)
SECRET_ARGUMENTS = frozenset({"key", "token", "secret"})  # parts of paths such as a password reset's link


class AccessLog(WrappingMiddleware):
    """Logs method, path (never the query: it may hold a token), status, duration, from which address and who asked.

    The line is written past structlog, whose processors would cost 60 µs: more than the rest of metering a request.
    """

    def around(self, request: HttpRequest) -> nullcontext[float]:
        return nullcontext(time.perf_counter())

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
        _say(request, response, time.perf_counter() - started)
        return response


def _say(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    match = request.resolver_match
    view = (match.view_name or match.route) if match else "unknown"
    metrics.observe_request(request.method or "", view, response.status_code, seconds)
    if not settings.ACCESS_LOG or request.path_info.startswith(QUIET):
        return
    is_secret = match is not None and not SECRET_ARGUMENTS.isdisjoint(match.kwargs)
    path = f"/{match.route}" if match is not None and is_secret else request.path_info
    organization = getattr(request, "organization", None)
    line = {
        "message": "request",
        "method": request.method,
        # A fixed address holds nothing secret, and looking for it would take longer than writing the line.
        "path": path if match is not None and not match.kwargs and not match.args else logs.scrubbed(path),
        "status": response.status_code,
        "duration_ms": round(seconds * 1000, 1),
        "request_id": getattr(request, "request_id", ""),
        "address": audit.client_address(request),
        "caller": audit.caller_of(request) or None,
        "organization": str(organization.pk) if organization is not None else None,
    }
    sys.stderr.write(_readable(line) if settings.DEBUG else _structured(line))


def _structured(line: dict[str, Any]) -> str:
    line |= {"level": "info", "logger": "superagent.access", "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps(line) + "\n"


def _readable(line: dict[str, Any]) -> str:
    took = f"{line['duration_ms']:7.1f} ms"
    return f"{line['method']:6} {line['status']} {took}  {line['path']}  [{line['request_id']}]\n"
