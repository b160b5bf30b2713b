from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import staff_notices
from accounts.admin.audited import (
    AuditedAdmin,
    FactsAdmin,
    FactsInline,
    ReasonedModelForm,
    reason_field,
    staff_of,
)
from accounts.models import User
from billing.models import Product
from licensing import activations, collection, moderation, policy_changes
from licensing.forms import ModerationForm
from licensing.models import Activation, FeatureUsage, License, LicenseFeature, Policy, PolicyFeature
from superagent.foundation import clock
from superagent.foundation.admin import LargeList, ReadOnlyAdmin
from superagent.foundation.problems import Refusal


class PolicyForm(ReasonedModelForm):
    reason = reason_field(
        _("Recorded in the audit trail. If a grace period changes, it is mailed to customers with a license.")
    )

    def clean_product_slug(self) -> str:
        slug: str = self.cleaned_data["product_slug"]
        if not Product.objects.filter(slug=slug, kind=Product.Kind.LICENSE).exists():
            raise forms.ValidationError(
                _("There is no license product with this slug. Add the product first.")
            )
        return slug


class FeatureNames(BaseInlineFormSet):
    """Checks that a name by which panels ask (`databases`, `max_databases`, `create_database`) means one feature."""

    def clean(self) -> None:
        super().clean()
        meant: dict[str, str] = {}
        for form in self.forms:
            slug, action = (form.cleaned_data.get(name) for name in ("slug", "action"))
            if not slug or not action or form.cleaned_data.get("DELETE"):
                continue
            for name in {slug, f"max_{slug}", action}:
                if meant.setdefault(name, slug) != slug:
                    form.add_error(
                        None,
                        _("%(name)s would refer to both %(one)s and %(other)s.")
                        % {"name": name, "one": meant[name], "other": slug},
                    )


class PolicyFeatureInline(admin.StackedInline):  # a table's cells have no labels
    model = PolicyFeature
    formset = FeatureNames
    extra = 0


@admin.register(Policy)
class PolicyAdmin(AuditedAdmin):
    """What the products include. Licenses keep the limits that they were issued with until their tier changes.

    A change of a grace period applies to issued licenses, too, and is mailed to their organizations.
    """

    list_display = ["name", "product_slug", "key_prefix", "max_activations", "requires_activation"]
    search_fields = ["name", "product_slug"]
    form = PolicyForm
    inlines = [PolicyFeatureInline]
    needs_fresh_log_in = True

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> list[str]:
        """The product is fixed, because subscriptions find their policy by it."""
        return ["product_slug"] if obj else []

    def after_change(self, request: HttpRequest, row: Policy, reason: str, changes: dict[str, Any]) -> None:
        staff_notices.to_superusers(
            subject=f"The license policy {row.name} was changed",
            by=staff_of(request),
            reason=reason,
            changes=changes,
        )
        policy_changes.tell(policy=row, changes=changes, reason=reason)


class LicenseFeatureInline(FactsInline):
    model = LicenseFeature
    fields = ["name", "used", "limit"]


class ActivationInline(FactsInline):
    model = Activation
    fields = ["label", "fingerprint", "activated_at", "last_heartbeat_at"]


class StatusFilter(admin.SimpleListFilter):
    """Filters by the status that validation would return now, not by the stored one."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*License.Status.choices, ("held", _("Suspended by staff"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "held":
            return queryset.filter(suspension_reason=License.SuspensionReason.MANUAL)
        if self.value() not in License.Status.values:
            return queryset
        return queryset.with_status(timezone.now()).filter(status_now=self.value())


@admin.register(License)
class LicenseAdmin(ReadOnlyAdmin):
    """Staff can suspend, reinstate and revoke, with a reason that the customer sees and the audit trail keeps."""

    list_display = [
        "masked_key",
        "organization",
        "policy",
        "status_now",
        "suspension_reason",
        "renews_at",
        "expires_at",
    ]
    list_filter = [StatusFilter, "policy"]
    list_select_related = ["organization", "policy"]
    date_hierarchy = "issued_at"
    search_fields = ["key_tail", "organization__name", "organization__email", "=id"]
    search_help_text = _("Last group of the key, organization or its email")
    fields = [
        ("organization", "policy"),
        ("status_now", "suspension_reason"),
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
        text = _("Control panels are refused immediately. Only reinstating lifts this, not a payment.")
        return self._with_reason(request, queryset, _suspend, "suspend", _("Suspend licenses"), text)

    @admin.action(description=_("Reinstate…"), permissions=["moderate"])
    def reinstate(self, request: HttpRequest, queryset: QuerySet[License]) -> HttpResponse | None:
        text = _(
            "They work again immediately. A license with an overdue payment gets a new payment grace period."
        )
        return self._with_reason(request, queryset, _reinstate, "reinstate", _("Reinstate licenses"), text)

    @admin.action(description=_("Revoke…"), permissions=["moderate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[License]) -> HttpResponse | None:
        text = _("This cannot be undone. A revoked license never works again, whatever is paid.")
        return self._with_reason(request, queryset, _revoke, "revoke", _("Revoke licenses"), text)

    def _with_reason(
        self,
        request: HttpRequest,
        queryset: QuerySet[License],
        change: Callable[[License, str, User], None],
        action: str,
        title: Any,
        consequence: Any,
    ) -> HttpResponse | None:
        """Ask for a reason with a preview, then change each license separately, so that one failure stops no other."""
        form = ModerationForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            rows = queryset.select_related("organization", "policy")
            context = {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "rows": [
                    (license_, self.status_now(license_), collection.consequence(license_, action))
                    for license_ in rows
                ],
                "consequence": consequence,
                "action": action,
                "form": form,
            }
            return TemplateResponse(request, "admin/licensing/reason.html", context)
        done = 0
        for license_ in queryset.select_related("organization"):
            try:
                change(license_, form.cleaned_data["reason"], staff_of(request))
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


def _suspend(license_: License, reason: str, actor: User) -> None:
    now = clock.now(license_.organization)
    moderation.suspend(license_id=license_.pk, reason=reason, actor=actor, now=now)


def _reinstate(license_: License, reason: str, actor: User) -> None:
    now = clock.now(license_.organization)
    moderation.reinstate(license_id=license_.pk, reason=reason, actor=actor, now=now)


def _revoke(license_: License, reason: str, actor: User) -> None:
    moderation.revoke(license_id=license_.pk, reason=reason, actor=actor)


@admin.register(Activation)
class ActivationAdmin(FactsAdmin):
    """The activations of all licenses. Staff remove those of servers that are lost."""

    list_display = ["label", "fingerprint", "license", "organization", "activated_at", "last_heartbeat_at"]
    list_select_related = ["license", "organization"]
    search_fields = ["=fingerprint", "license__key_tail", "organization__name"]
    search_help_text = _("Fingerprint, last group of the license key or organization")
    actions = ["free"]

    def has_free_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("licensing.change_license")

    @admin.action(description=_("Remove the activation"), permissions=["free"])
    def free(self, request: HttpRequest, queryset: QuerySet[Activation]) -> None:
        def call(row: Activation, reason: str) -> bool:
            activations.remove(license_=row.license, activation_id=row.pk)
            return True

        self.act(
            request,
            queryset.select_related("license__organization"),
            permission="licensing.change_license",
            action="license.server_removed_by_staff",
            call=call,
        )


@admin.register(FeatureUsage)
class FeatureUsageAdmin(LargeList):
    list_display = ["reported_at", "license", "feature_slug", "delta", "used", "limit"]
    list_select_related = ["license"]
    search_fields = ["=license__key_tail", "=license__id"]
    search_help_text = _("Last group of the key, or id of the license")
