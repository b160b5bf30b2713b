"""People, organizations, members, keys and the audit trail, for staff. Pages run in the system scope (AdminScope)."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import api_keys, audit, memberships, organizations
from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Organization, TokenFamily, User
from superagent.foundation.admin import ReadOnlyAdmin
from superagent.foundation.problems import Refusal

# The admin's own log-in page knows neither second factors nor rate limits: allauth's is used.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


class ReasonForm(ActionForm):
    """Beside every action that changes something: why. It goes into the audit trail."""

    reason = forms.CharField(label=_("Reason"), required=False, max_length=200)


class RefusalsAsMessages(admin.ModelAdmin):
    """What a domain function refuses is said on the page, and nothing is changed."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Refusal as refusal:
            self.message_user(request, refusal.detail, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    can_delete = False
    fields = ("organization", "user", "role", "created_at")
    readonly_fields = fields
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("organization", "user")


class NewUserForm(BaseUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "full_name")


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """People. Deactivating one ends sessions, tokens and log-in at once."""

    add_form = NewUserForm
    fieldsets = (
        (None, {"fields": ("email", "password", "full_name", "default_organization")}),
        (_("May"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("When"), {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "full_name", "password1", "password2")}),)
    list_display = ["email", "full_name", "is_active", "is_staff", "last_login", "created_at"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "full_name", "=id"]
    ordering = ["-id"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    autocomplete_fields = ["default_organization"]
    readonly_fields = ["last_login", "created_at"]
    inlines = [MembershipInline]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the audit trail names people: an account is closed, not deleted

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record(
                action="user.changed_by_staff" if change else "user.made_by_staff",
                target=obj,
                detail={"fields": sorted(set(form.changed_data) - {"password1", "password2"})},
            )


@admin.register(Organization)
class OrganizationAdmin(RefusalsAsMessages):
    list_display = ["name", "email", "member_count", "livemode", "rehearsal_now", "created_at"]
    list_filter = ["livemode", ("rehearsal_now", admin.EmptyFieldListFilter)]
    search_fields = ["name", "email", "=id", "memberships__user__email"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = ["name", "email", "livemode", "rehearsal_now", "created_at"]
    readonly_fields = ["livemode", "rehearsal_now", "created_at"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        return super().get_queryset(request).annotate(members=Count("memberships"))

    @admin.display(description=_("members"), ordering="members")
    def member_count(self, organization: Any) -> int:
        return int(organization.members)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it is made with its owner, by sign-up

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        organizations.update(organization=obj, name=obj.name, email=obj.email)


@admin.register(Membership)
class MembershipAdmin(RefusalsAsMessages):
    list_display = ["user", "organization", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__email", "organization__name", "=organization__id"]
    show_full_result_count = False
    fields = ["user", "organization", "role", "created_at"]
    readonly_fields = ["user", "organization", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a person joins by an invitation

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        staff = request.user
        assert isinstance(staff, User), "the admin is for people who are logged in"
        memberships.change_role_by_staff(
            organization=obj.organization, user_id=obj.user_id, role=obj.role, staff=staff, now=timezone.now()
        )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Never the hash. A key is found by its start or its last four characters."""

    list_display = [
        "name",
        "masked",
        "organization",
        "status",
        "created_by",
        "last_used_at",
        "expires_at",
        "revoked_at",
    ]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["organization", "created_by"]
    search_fields = ["prefix__startswith", "=last_four", "name", "organization__name", "=organization__id"]
    date_hierarchy = "created_at"
    exclude = ["key_hash"]
    action_form = ReasonForm
    actions = ["revoke"]

    @admin.action(description=_("Revoke the selected keys at once (give a reason)"), permissions=["view"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        reason = request.POST.get("reason", "").strip()
        if not request.user.has_perm("accounts.change_apikey"):
            self.message_user(request, _("You may look at API keys, but not change them."), messages.ERROR)
            return
        if not reason:
            self.message_user(
                request, _("Nothing was revoked: give a reason beside the action."), messages.ERROR
            )
            return
        keys = list(queryset.select_related("organization"))
        staff = request.user
        assert isinstance(staff, User), "the admin is for people who are logged in"
        with transaction.atomic():
            for key in keys:
                api_keys.revoke(
                    organization=key.organization, key_id=key.pk, revoked_by=staff, now=timezone.now()
                )
                audit.record(
                    action="api_key.revoked_by_staff",
                    organization=key.organization,
                    target=key,
                    detail={"reason": reason},
                )
        text = ngettext("%d key is revoked.", "%d keys are revoked.", len(keys))
        self.message_user(request, text % len(keys), messages.SUCCESS)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["email", "organization", "role", "status", "invited_by", "created_at", "expires_at"]
    list_filter = ["role"]
    list_select_related = ["organization", "invited_by"]
    search_fields = ["email", "organization__name"]
    date_hierarchy = "created_at"


@admin.register(TokenFamily)
class TokenFamilyAdmin(ReadOnlyAdmin):
    """Log-ins through the API."""

    list_display = ["user", "ip_address", "user_agent", "created_at", "refreshed_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = ["user__email", "=ip_address"]
    date_hierarchy = "created_at"
    exclude = ["refresh_jti", "password_stamp"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_label", "action", "organization", "target_label", "ip_address"]
    list_filter = ["action"]
    list_select_related = ["organization"]
    search_fields = [
        "actor_label",
        "target_label",
        "=target_id",
        "=request_id",
        "=ip_address",
        "organization__name",
    ]
    date_hierarchy = "at"
    ordering = ["-id"]
