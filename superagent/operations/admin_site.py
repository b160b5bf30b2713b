"""The admin site: its index lists work that needs staff; access is decided by staff_access."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from accounts import staff_access
from accounts.models import AuditEntry
from accounts.staff_access import Missing
from superagent.operations import backlogs

# Sections of the index, in order, with their apps.
SECTIONS = (
    (_("Customers and staff"), ("accounts", "auth")),
    (_("Billing"), ("billing",)),
    (_("Usage"), ("metering",)),
    (_("Licenses"), ("licensing",)),
    (_("Background work"), ("foundation", "django_celery_beat")),
    (_("Stripe's objects, as fetched last"), ("djstripe",)),
)

RECENT = 10


class StaffSite(admin.AdminSite):
    """Apps register with it by `admin.register` as usual (superagent.apps.AdminSiteConfig)."""

    site_title = _("SuperAgent staff")
    site_header = _("SuperAgent")
    index_title = _("Admin overview")

    def register(
        self,
        model_or_iterable: ModelBase | Iterable[ModelBase],
        admin_class: type[admin.ModelAdmin] | None = None,
        **options: Any,
    ) -> None:
        """Accept only admin classes that write to the audit trail.

        Libraries offer stock pages for their tables (addresses, second factors, groups, sessions), which would change
        rows without a reason and without an audit entry.
        """
        from accounts.admin.audited import AuditedAdmin  # its package registers pages here
        from superagent.foundation.admin import ReadOnlyAdmin  # as above

        if admin_class is not None and issubclass(admin_class, AuditedAdmin | ReadOnlyAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return staff_access.may_enter(request)

    @method_decorator([never_cache, login_not_required])
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what is missing for access, with links to where to get it. There is no form."""
        back = _own_path(request)
        match staff_access.missing(request):
            case None:
                return HttpResponseRedirect(back)
            case Missing.LOG_IN:
                return redirect_to_login(back)
            case Missing.STAFF:
                return render(request, "accounts/staff_only.html", {"next": back}, status=403)
            case Missing.FRESH_LOG_IN:
                return render(request, "accounts/staff_log_in_again.html", {"next": back})
            case Missing.SECOND_FACTOR_SET_UP:
                return render(request, "accounts/staff_second_factor.html")
            case Missing.SECOND_FACTOR | Missing.PRESENCE:
                return staff_access.to_confirm(request, back)
        raise PermissionDenied

    def get_urls(self) -> list[Any]:
        """Leave out Django's redirect from a row to its page on the site: no row of ours has such a URL."""
        return [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]

    def password_change(  # type: ignore[override]  # a redirect instead of Django's page
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the portal's page, which asks for the current password, sends a notice and is audited."""
        return redirect("account_change_password")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        rows = [(measure, _address(measure.queue)) for measure in backlogs.measure_all()]
        own = AuditEntry.objects.filter(actor=request.user.pk).order_by("-id")[:RECENT]
        return super().index(request, (extra_context or {}) | {"queues": rows, "recent_acts": own})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Returns the apps in named sections; Stripe's mirrored objects come last."""
        found = {app["app_label"]: app for app in super().get_app_list(request, app_label)}
        if app_label is not None:
            return list(found.values())
        sections = []
        for name, labels in SECTIONS:
            apps = [found[label] for label in labels if label in found]
            if apps:
                models = [model for app in apps for model in app["models"]]
                sections.append(apps[0] | {"name": name, "models": models})
        return sections


def _own_path(request: HttpRequest) -> str:
    """Returns the page of the admin that the caller wanted."""
    wanted = request.GET.get("next", "")
    start = reverse("admin:index")
    is_ours = wanted.startswith(start) and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours and not wanted.startswith(reverse("admin:login")) else start


def _address(queue: backlogs.Queue) -> str:
    """Returns the URL of the queue's change list; empty if it has none."""
    options = queue.waiting().model._meta
    try:
        return f"{reverse(f'admin:{options.app_label}_{options.model_name}_changelist')}?{queue.query}"
    except NoReverseMatch:
        return ""
