from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import staff_notices
from accounts.admin.audited import AuditedAdmin, staff_of
from licensing import licenses
from licensing.forms import ReasonForm
from licensing.models import Activation, FeatureUsage, License, LicenseFeature, Policy, PolicyFeature
from superagent.foundation import clock
from superagent.foundation.admin import ReadOnlyAdmin
from superagent.foundation.problems import Refusal


class PolicyFeatureInline(admin.TabularInline):
    model = PolicyFeature
    extra = 0


@admin.register(Policy)
class PolicyAdmin(AuditedAdmin):
    """What the products include. Licenses keep what they were issued with until their tier changes."""

    list_display = ["name", "product_slug", "key_prefix", "max_activations", "requires_activation"]
    search_fields = ["name", "product_slug"]
    inlines = [PolicyFeatureInline]
    needs_fresh_log_in = True

    def after_change(self, request: HttpRequest, row: Policy, reason: str, changes: dict[str, Any]) -> None:
        staff_notices.to_superusers(
            subject=f"The license policy {row.name} was changed",
            by=staff_of(request),
            reason=reason,
            changes=changes,
        )


class _Facts(admin.TabularInline):
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LicenseFeatureInline(_Facts):
    model = LicenseFeature
    fields = ["name", "used", "limit"]


class ActivationInline(_Facts):
    model = Activation
    fields = ["label", "fingerprint", "activated_at", "last_heartbeat_at"]


@admin.register(License)
class LicenseAdmin(ReadOnlyAdmin):
    """Staff look, suspend, reinstate and revoke; each needs a reason, which the customer sees and the audit keeps."""

    list_display = [
        "masked_key",
        "organization",
        "policy",
        "status_now",
        "suspension_reason",
        "renews_at",
        "expires_at",
    ]
    list_filter = ["status", "suspension_reason", "policy"]
    list_select_related = ["organization", "policy"]
    date_hierarchy = "issued_at"
    search_fields = ["key_tail", "organization__name", "organization__email", "=id"]
    search_help_text = _("Last group of the key, organization or its e-mail")
    fields = [
        ("organization", "policy"),
        ("status", "suspension_reason"),
        "note",
        "masked_key",
        ("issued_at", "renews_at"),
        ("expires_at", "suspends_at"),
        ("max_activations", "requires_activation"),
        "order_item",
    ]
    inlines = [LicenseFeatureInline, ActivationInline]
    actions = ["suspend", "reinstate", "revoke"]

    def has_moderate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("licensing.change_license")

    @admin.action(description=_("Suspend…"), permissions=["moderate"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[License]) -> HttpResponse | None:
        text = _("Panels are refused at once. Paying does not lift it; reinstating does.")
        return self._with_reason(request, queryset, licenses.suspend, "suspend", _("Suspend licenses"), text)

    @admin.action(description=_("Reinstate…"), permissions=["moderate"])
    def reinstate(self, request: HttpRequest, queryset: QuerySet[License]) -> HttpResponse | None:
        text = _("They work again at once, also those that were suspended for an overdue payment.")
        return self._with_reason(
            request, queryset, licenses.reinstate, "reinstate", _("Reinstate licenses"), text
        )

    @admin.action(description=_("Revoke…"), permissions=["moderate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[License]) -> HttpResponse | None:
        text = _("This cannot be undone: a revoked license never works again, whatever is paid.")
        return self._with_reason(request, queryset, licenses.revoke, "revoke", _("Revoke licenses"), text)

    def _with_reason(
        self,
        request: HttpRequest,
        queryset: QuerySet[License],
        change: Callable[..., None],
        action: str,
        title: Any,
        consequence: Any,
    ) -> HttpResponse | None:
        """Preview and reason first; then the change, each license on its own, so that one refusal stops no other."""
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "licenses": queryset.select_related("organization", "policy"),
                "consequence": consequence,
                "action": action,
                "form": form,
            }
            return TemplateResponse(request, "admin/licensing/reason.html", context)
        done = 0
        for license_ in queryset:
            try:
                change(license_id=license_.pk, reason=form.cleaned_data["reason"], actor=request.user)
                done += 1
            except Refusal as refusal:
                self.message_user(request, refusal.detail, messages.ERROR)
        if done:
            text = ngettext("%(title)s: %(count)d done.", "%(title)s: %(count)d done.", done)
            self.message_user(request, text % {"title": title, "count": done}, messages.SUCCESS)
        return None

    @admin.display(description=_("status"))
    def status_now(self, license_: License) -> str:
        return str(license_.status_at(clock.now(license_.organization)).label)


@admin.register(FeatureUsage)
class FeatureUsageAdmin(ReadOnlyAdmin):
    list_display = ["reported_at", "license", "feature_slug", "delta", "used", "limit"]
    list_filter = ["feature_slug"]
    list_select_related = ["license"]
    search_fields = ["license__key_tail", "=idempotency_key"]
