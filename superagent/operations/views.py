"""Endpoints for machines: health and metrics."""

from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from superagent.operations import health, metrics


@login_not_required
@never_cache
@require_safe
def health_live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def health_ready(request: HttpRequest) -> JsonResponse:
    """200 while the database responds; other parts that do not are named and make it `degraded`."""
    parts = health.report()
    is_ready = all(part.is_well for part in parts if part.is_needed)
    status = "failed" if not is_ready else "ok" if all(part.is_well for part in parts) else "degraded"
    body: dict[str, Any] = {
        "status": status,
        "parts": {
            part.name: {"status": "ok" if part.is_well else "failed", "detail": part.detail} for part in parts
        },
    }
    return JsonResponse(body, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


@login_not_required
@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    return metrics.answer(request)
