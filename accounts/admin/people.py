"""Users and groups, and staff actions on accounts. Pages run in the system scope (AdminScope)."""

from typing import Any, cast

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import closures, email_addresses, email_changes, staff_notices, staff_rights, support
from accounts.admin.acts import Act, ActForm, ActsAdmin
from accounts.admin.audited import AuditedAdmin, staff_of
from accounts.admin.organizations import MembershipInline
from accounts.models import User
from superagent.foundation.templatetags.formats import absolute

CHANGE_USER = "accounts.change_user"


def _permissions() -> Any:
    """Returns the permissions for models that the admin registers, without deletion, which it never offers."""
    models = [model._meta for model in admin.site._registry]
    return (
        Permission.objects.filter(
            content_type__app_label__in={options.app_label for options in models},
            content_type__model__in={options.model_name for options in models},
        )
        .exclude(codename__startswith="delete_")
        .select_related("content_type")
        .order_by("content_type__app_label", "content_type__model", "codename")
    )


class MailedReason(ActForm):
    reason_help = gettext_lazy("Mailed to the person and recorded in the audit trail.")


class EmailForm(ActForm):
    new_email = forms.EmailField(label=gettext_lazy("New email address"), max_length=254)


class RightsForm(ActForm):
    is_staff = forms.BooleanField(
        label=gettext_lazy("Staff"), required=False, help_text=gettext_lazy("Can log in to the admin.")
    )
    is_superuser = forms.BooleanField(
        label=gettext_lazy("Superuser"),
        required=False,
        help_text=gettext_lazy("Has all permissions, and can change those of others."),
    )
    groups = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Groups"),
        queryset=Group.objects.order_by("name"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    permissions = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Individual permissions"),
        queryset=Permission.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason_help = gettext_lazy("Mailed to the person and all superusers, and recorded in the audit trail.")

    def __init__(self, row: Any, data: Any = None) -> None:
        super().__init__(row, data)
        cast(forms.ModelMultipleChoiceField, self.fields["permissions"]).queryset = _permissions()

    @staticmethod
    def initial_of(row: User) -> dict[str, Any]:
        return {
            "is_staff": row.is_staff,
            "is_superuser": row.is_superuser,
            "groups": list(row.groups.all()),
            "permissions": list(row.user_permissions.all()),
        }


def may_help(by: User, person: User) -> bool:
    """Returns whether `by` may act on the account: only superusers on accounts of staff, nobody on their own."""
    is_colleague = person.is_staff or person.is_superuser
    return by.has_perm(CHANGE_USER) and by.pk != person.pk and (by.is_superuser or not is_colleague)


def _change_rights(person: User, values: dict[str, Any], by: User) -> str:
    is_changed = staff_rights.change(person=person, by=by, **values)
    if not is_changed:
        return _("%(person)s already has these permissions.") % {"person": person}
    return _("Permissions of %(person)s changed. All superusers were notified.") % {"person": person}


def _send_reset_link(person: User, values: dict[str, Any], by: User) -> str:
    support.send_reset_link(person=person, by=by, reason=values["reason"])
    return _("We mailed a reset link to %(person)s.") % {"person": person}


def _change_email(person: User, values: dict[str, Any], by: User) -> str:
    new_email = values["new_email"]
    support.change_email(
        person=person, new_email=new_email, by=by, reason=values["reason"], now=timezone.now()
    )
    return _("We mailed %(address)s a link to confirm, and notified %(person)s.") % {
        "address": new_email,
        "person": person,
    }


def _reset_second_factor(person: User, values: dict[str, Any], by: User) -> str:
    support.reset_second_factor(person=person, by=by, reason=values["reason"], now=timezone.now())
    return _("%(person)s can now log in with the password alone.") % {"person": person}


def _deactivate(person: User, values: dict[str, Any], by: User) -> str:
    support.deactivate(person=person, by=by, reason=values["reason"], now=timezone.now())
    return _("%(person)s was logged out everywhere and can no longer log in.") % {"person": person}


def _reactivate(person: User, values: dict[str, Any], by: User) -> str:
    support.reactivate(person=person, by=by, reason=values["reason"])
    return _("%(person)s can log in again.") % {"person": person}


@admin.register(User)
class UserAdmin(ActsAdmin):
    """Staff can change the name and help with login problems; superusers change permissions."""

    fieldsets = (
        (None, {"fields": ("email", "full_name", "default_organization", "is_active")}),
        (
            gettext_lazy("Login"),
            {"fields": ("address_state", "address_change", "second_factors", "closing")},
        ),
        (
            gettext_lazy("Permissions"),
            {"fields": ("is_staff", "is_superuser", "groups_named", "permissions_named")},
        ),
        (gettext_lazy("Dates"), {"fields": ("last_login", "created_at")}),
    )
    readonly_fields = [
        "email", "default_organization", "is_active", "is_staff", "is_superuser", "groups_named", "permissions_named",
        "last_login", "created_at", "address_state", "address_change", "second_factors", "closing",
    ]  # fmt: skip
    list_display = ["email", "full_name", "is_active", "is_staff", "last_login", "created_at"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "full_name", "=id"]
    ordering = ["-id"]
    date_hierarchy = "created_at"
    inlines = [MembershipInline]
    acts = (
        Act(
            "rights",
            gettext_lazy("Change permissions"),
            gettext_lazy("Sets what the person can do in this admin. Their email address must be confirmed."),
            _change_rights,
            lambda by, person: by.is_superuser and by.pk != person.pk,
            RightsForm,
        ),
        Act(
            "reset-link",
            gettext_lazy("Send a password reset link"),
            gettext_lazy("Mails the person a link to choose a new password. The link works once."),
            _send_reset_link,
            lambda by, person: may_help(by, person) and person.is_active,
        ),
        Act(
            "email",
            gettext_lazy("Change the email address"),
            gettext_lazy(
                "For somebody who has lost access to the old mailbox. We mail the new address a link to confirm. The "
                "old address is notified and can stop the change, or undo it for a week."
            ),
            _change_email,
            lambda by, person: may_help(by, person) and person.is_active,
            EmailForm,
        ),
        Act(
            "second-factor",
            gettext_lazy("Remove two-step login"),
            gettext_lazy(
                "Removes the authenticator app, passkeys and recovery codes, and logs the person out everywhere. Make "
                "sure who is asking: afterwards, the password alone is enough to log in."
            ),
            _reset_second_factor,
            may_help,
            MailedReason,
        ),
        Act(
            "deactivate",
            gettext_lazy("Deactivate"),
            gettext_lazy(
                "Logs the person out everywhere and blocks new logins. Their API keys keep working: revoke them "
                "separately."
            ),
            _deactivate,
            lambda by, person: may_help(by, person) and person.is_active,
            MailedReason,
        ),
        Act(
            "reactivate",
            gettext_lazy("Reactivate"),
            gettext_lazy("The person can log in again, with the same memberships as before."),
            _reactivate,
            lambda by, person: may_help(by, person) and not person.is_active,
            MailedReason,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people sign up; a superuser then gives them permissions

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or may_help(staff_of(request), obj) or staff_of(request).is_superuser

    @admin.display(description=gettext_lazy("address"))
    def address_state(self, person: User) -> str:
        if email_addresses.is_confirmed(person):
            return _("Confirmed")
        return _("Not confirmed: the link in our email has not been opened.")

    @admin.display(description=gettext_lazy("change of email address"))
    def address_change(self, person: User) -> str:
        change = email_changes.pending(user=person, now=timezone.now())
        if change is None:
            return _("None pending")
        facts = {"email": change.new_email, "until": absolute(change.expires_at)}
        return _("To %(email)s, waiting for confirmation until %(until)s.") % facts

    @admin.display(description=gettext_lazy("two-step login"))
    def second_factors(self, person: User) -> str:
        factors = Authenticator.objects.filter(user=person).order_by("type", "pk")
        return ", ".join(str(Authenticator.Type(factor.type).label) for factor in factors) or _("Off")

    @admin.display(description=gettext_lazy("account closure"))
    def closing(self, person: User) -> SafeString | str:
        closure = closures.pending(user=person)
        if closure is None:
            return _("Not requested")
        text = _("Closes on %(date)s") % {"date": absolute(closure.closes_at)}
        page = reverse("admin:accounts_accountclosure_change", args=[closure.pk])
        return format_html('<a href="{}">{}</a>', page, text)

    @admin.display(description=gettext_lazy("groups"))
    def groups_named(self, person: User) -> str:
        return staff_notices.as_text(staff_rights.of(person)["groups"])

    @admin.display(description=gettext_lazy("individual permissions"))
    def permissions_named(self, person: User) -> str:
        return staff_notices.as_text(staff_rights.of(person)["permissions"])


@admin.register(Group)
class GroupAdmin(AuditedAdmin):
    """Sets of permissions, for superusers only."""

    needs_fresh_log_in = True
    list_display = ["name", "member_count"]
    search_fields = ["name"]
    fields = ["name", "permissions"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return staff_of(request).is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return staff_of(request).is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return staff_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return staff_of(request).is_superuser

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "permissions":
            kwargs |= {"queryset": _permissions(), "widget": forms.CheckboxSelectMultiple}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def after_change(self, request: HttpRequest, row: Group, reason: str, changes: dict[str, Any]) -> None:
        staff_notices.to_superusers(
            subject=f"The group {row.name} was changed", by=staff_of(request), reason=reason, changes=changes
        )

    @admin.display(description=gettext_lazy("members"))
    def member_count(self, group: Group) -> int:
        return group.user_set.count()
