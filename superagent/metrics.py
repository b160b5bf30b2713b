"""What Prometheus reads at /metrics: requests of all web processes, and how far behind the queues are.

Counts of requests are kept in files that the web processes share (prometheus_client's multi-process mode), so that any
of them can answer for all. Queues are measured in the database when Prometheus asks, by whichever process answers.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog
from django.conf import settings
from django.db.models import Min, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from billing.models import WebhookEvent
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STALE_SECONDS = 7 * 24 * 3600

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_requests = Histogram(
    "superagent_request_seconds",
    "Duration of HTTP requests",
    ["method", "view", "status"],
    buckets=BUCKETS,
)
_children: dict[tuple[str, str, int], Histogram] = {}


def observe_request(method: str, view: str, status: int, seconds: float) -> None:
    """`view` is a name from the URL configuration, so that there are not more series than views."""
    key = (method if method in _METHODS else "OTHER", view, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = _requests.labels(*map(str, key))
    child.observe(seconds)


class Queues(Collector):
    """Business gauges: the age and number of what waits."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, text, measure in GAUGES:
            try:
                with tenancy.system("metrics"):
                    value = measure()
            except Exception as error:  # noqa: BLE001 - one gauge that cannot be read must not hide the others
                log.warning("gauge_failed", gauge=name, error=str(error))
                continue
            yield GaugeMetricFamily(f"superagent_{name}", text, value=value)


def answer(request: HttpRequest) -> HttpResponse:
    """Raises Http404 for whoever may not read metrics: with METRICS_TOKEN its bearers, without it this machine."""
    if not _may_read(request):
        raise Http404
    registry = CollectorRegistry()
    if os.environ.get(FOLDER_VARIABLE):
        _forget_stale(Path(os.environ[FOLDER_VARIABLE]))
        MultiProcessCollector(registry)
    else:
        registry.register(_requests)
    registry.register(Queues())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    is_forwarded = "X-Forwarded-For" in request.headers
    return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and not is_forwarded


def _forget_stale(folder: Path) -> None:
    """Files of processes that ended long ago; younger ones are kept, so that counts do not fall at a restart."""
    for path in folder.glob("*.db"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()


def _due() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=OutboxMessage.State.PENDING, due_at__lte=timezone.now())


def _inbox() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state=WebhookEvent.State.PENDING, due_at__lte=timezone.now())


def _age_seconds(first: datetime | None) -> float:
    return 0.0 if first is None else max((timezone.now() - first).total_seconds(), 0.0)


GAUGES: tuple[tuple[str, str, Callable[[], float]], ...] = (
    ("outbox_due_messages", "Outbox messages that are due and not delivered", lambda: _due().count()),
    (
        "outbox_dead_messages",
        "Outbox messages that were given up: a person must look",
        lambda: OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD).count(),
    ),
    (
        "outbox_lag_seconds",
        "How long the oldest outbox message has been due",
        lambda: _age_seconds(_due().aggregate(first=Min("due_at"))["first"]),
    ),
    ("webhook_inbox_events", "Events of Stripe that are due and not handled", lambda: _inbox().count()),
    (
        "webhook_dead_events",
        "Events of Stripe that were given up: a person must look",
        lambda: WebhookEvent.objects.filter(state=WebhookEvent.State.DEAD).count(),
    ),
    (
        "webhook_inbox_lag_seconds",
        "How long ago the oldest unhandled event of Stripe was received",
        lambda: _age_seconds(_inbox().aggregate(first=Min("received_at"))["first"]),
    ),
)
