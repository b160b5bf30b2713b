"""Organizations, their members and invitations. Pages run in the system scope (AdminScope)."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import organizations, support
from accounts.admin.acts import Act, ActForm, ActsAdmin
from accounts.admin.audited import AuditedAdmin, FactsInline, staff_of
from accounts.models import Invitation, Membership, Organization, User
from superagent.foundation.admin import ReadOnlyAdmin


class MembershipInline(FactsInline):
    model = Membership
    fields = ("organization", "user", "role", "created_at")
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("organization", "user")


class OwnerForm(ActForm):
    owner_email = forms.EmailField(
        label=gettext_lazy("New owner"),
        max_length=254,
        help_text=gettext_lazy("Email address of a person who has signed up and confirmed it."),
    )
    reason_help = gettext_lazy("Mailed to the new owner and to the organization's billing address.")


def _reinstate(organization: Organization, values: dict[str, Any], by: User) -> str:
    support.reinstate(
        organization=organization,
        owner_email=values["owner_email"],
        by=by,
        reason=values["reason"],
        now=timezone.now(),
    )
    return _("%(owner)s now owns %(organization)s.") % {
        "organization": organization,
        "owner": values["owner_email"],
    }


@admin.register(Organization)
class OrganizationAdmin(ActsAdmin):
    records_itself = True
    list_display = [
        "name",
        "email",
        "member_count",
        "livemode",
        "test_clock_time",
        "suspended_at",
        "created_at",
    ]
    list_filter = [
        "livemode",
        ("test_clock_time", admin.EmptyFieldListFilter),
        ("suspended_at", admin.EmptyFieldListFilter),
    ]
    search_fields = ["name", "email", "=id", "memberships__user__email"]
    date_hierarchy = "created_at"
    fields = ["name", "email", "livemode", "test_clock_time", "suspended_at", "created_at"]
    readonly_fields = ["livemode", "test_clock_time", "suspended_at", "created_at"]
    inlines = [MembershipInline]
    acts = (
        Act(
            "reinstate",
            gettext_lazy("Reinstate"),
            gettext_lazy(
                "Its last owner closed their account, so its API keys were revoked and it cannot buy anything. This "
                "gives it a new owner; keys and subscriptions that ended stay ended. Make sure that the organization "
                "is theirs: they will see all its data."
            ),
            _reinstate,
            lambda by, organization: (
                organization.suspended_at is not None and by.has_perm("accounts.change_organization")
            ),
            OwnerForm,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        return super().get_queryset(request).annotate(members=Count("memberships"))

    @admin.display(description=gettext_lazy("members"), ordering="members")
    def member_count(self, organization: Any) -> int:
        return int(organization.members)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # created with its owner, at sign-up

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        organizations.update(organization=obj, name=obj.name, email=obj.email)


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin):
    """Staff can change roles; the member and the owners are notified."""

    records_itself = True
    needs_fresh_log_in = True
    list_display = ["user", "organization", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__email", "organization__name", "=organization__id"]
    fields = ["user", "organization", "role", "created_at"]
    readonly_fields = ["user", "organization", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people join by invitation

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        stored = Membership.objects.select_related("organization", "user").get(pk=obj.pk)
        support.change_role(
            membership=stored,
            role=obj.role,
            by=staff_of(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["email", "organization", "role", "status", "invited_by", "created_at", "expires_at"]
    list_filter = ["role"]
    list_select_related = ["organization", "invited_by"]
    search_fields = ["email", "organization__name"]
    date_hierarchy = "created_at"
