"""Metrics for Prometheus at /metrics: requests of all web processes, and the backlogs of the queues.

Counts of requests are kept in files that the web processes share (`metric_files`), so that any of them can answer for
all. Backlogs are measured in the database when Prometheus asks, by whichever process answers.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from accounts import security_events
from metering.quotas import alerts
from metering.request_path import backlog, spool
from superagent.foundation import tenancy
from superagent.operations import backlogs, health
from superagent.operations.metric_files import Files

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

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


class Business(Collector):
    """Gauges: the health of each part, the length and the oldest row's age of each queue, the spool."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        part_is_well = GaugeMetricFamily(
            "superagent_part_is_well", "1 while a part that the product stands on is well", labels=["part"]
        )
        parts = health.report()
        for part in parts:
            part_is_well.add_metric([part.name], part.is_well)
        yield part_is_well
        if all(part.is_well for part in parts if part.is_needed):
            yield from self._backlogs()

    def _backlogs(self) -> Iterator[GaugeMetricFamily]:
        length = GaugeMetricFamily("superagent_queue_length", "Rows that wait", labels=["queue"])
        age = GaugeMetricFamily(
            "superagent_queue_age_seconds", "How long the oldest row has waited", labels=["queue"]
        )
        for queue in backlogs.QUEUES:
            try:
                with tenancy.system("metrics"):
                    measure = queue.measure()
            except DatabaseError as error:
                log.warning("queue_not_measured", queue=queue.name, error=str(error))
                continue
            length.add_metric([queue.name], measure.count)
            age.add_metric([queue.name], measure.age_seconds)
        yield length
        yield age
        yield from _spool()


def _spool() -> Iterator[GaugeMetricFamily]:
    """Requests that this host has answered but not recorded in the database yet."""
    try:
        with tenancy.system("metrics"):
            spool_now = backlog.of_this_host()
    except DatabaseError as error:
        log.warning("spool_not_measured", error=str(error))
        return
    for name, text, value in (
        (
            "backlog_bytes",
            "Metered requests of this host that are not in the database yet",
            spool_now.waiting_bytes,
        ),
        ("oldest_seconds", "How long ago the oldest of them was answered", spool_now.oldest_seconds),
        ("writable", "Whether the disk of this host's spool takes more", spool_now.is_writable),
    ):
        gauge = GaugeMetricFamily(f"superagent_spool_{name}", text)
        gauge.add_metric([], float(value))
        yield gauge


def answer(request: HttpRequest) -> HttpResponse:
    """Returns the metrics. Raises Http404 without the bearer METRICS_TOKEN or, if none is set, from another machine."""
    if not _may_read(request):
        raise Http404
    registry = CollectorRegistry()
    if os.environ.get(FOLDER_VARIABLE):
        registry.register(Files(Path(os.environ[FOLDER_VARIABLE])))
    else:
        counted = (spool.refused_lines, spool.lost_requests, alerts.failed_warnings, security_events.COUNTER)
        for metric in (_requests, *counted):
            registry.register(metric)
    registry.register(Business())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    is_forwarded = "X-Forwarded-For" in request.headers
    return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and not is_forwarded
