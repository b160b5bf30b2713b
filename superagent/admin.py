"""The admin as a workbench: what waits for staff is on its first page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from superagent import queues


class Workbench(admin.AdminSite):
    """The one admin site; apps register with it by `admin.register` as usual (superagent.apps.WorkbenchConfig)."""

    site_title = _("SuperAgent staff")
    site_header = _("SuperAgent")
    index_title = _("Workbench")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        rows = [(measure, _address(measure.queue)) for measure in queues.measures()]
        return super().index(request, (extra_context or {}) | {"queues": rows})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Ours first, in the order of the house; Stripe's mirror, which is only for looking things up, last."""
        found = super().get_app_list(request, app_label)
        return sorted(
            found,
            key=lambda app: (_PLACES.get(app["app_label"], len(_PLACES)), app["app_label"] == "djstripe"),
        )


_ORDER = ("accounts", "billing", "metering", "licensing", "foundation", "django_celery_beat")
_PLACES = {label: place for place, label in enumerate(_ORDER)}


def _address(queue: queues.Queue) -> str:
    """The change list of the queue's rows; empty when its app has none."""
    options = queue.waiting().model._meta
    try:
        return f"{reverse(f'admin:{options.app_label}_{options.model_name}_changelist')}?{queue.query}"
    except NoReverseMatch:
        return ""
