"""Base classes of our admin pages: facts are read-only; every change asks for a reason and is audited.

The admin site accepts no other classes (superagent.operations.admin_site), so that no library's page can change a row
without an audit entry.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import models
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import audit, staff_access
from accounts.models import User
from superagent.foundation import retries
from superagent.foundation.admin import QuickAdmin, ReadOnlyAdmin
from superagent.foundation.problems import Refusal

MAX_REASON_LENGTH = 300
Call = Callable[[Any, str], bool]


KEPT = gettext_lazy("Recorded in the audit trail.")


def reason_field(help_text: Any = KEPT) -> forms.CharField:
    return forms.CharField(label=gettext_lazy("Reason"), max_length=MAX_REASON_LENGTH, help_text=help_text)


def _reason_in(request: HttpRequest) -> str:
    return request.POST.get("reason", "").replace("\0", "").strip()  # PostgreSQL's text holds no NUL


class ReasonForm(ActionForm):
    """The reason of a bulk action, entered next to it."""

    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=MAX_REASON_LENGTH)


class ReasonedModelForm(forms.ModelForm):
    """A form for one row, with the reason of the change."""

    reason = reason_field()


class ReasonedActions(QuickAdmin):
    """Bulk actions that ask for a reason."""

    action_form = ReasonForm

    def act(
        self,
        request: HttpRequest,
        rows: Iterable[models.Model],
        *,
        permission: str,
        action: str,
        call: Call,
        is_begun_only: bool = False,
    ) -> None:
        """Call `call(row, reason)` for each row separately, so that one refusal stops no other, and record each change.

        `call` returns whether it changed anything. With `is_begun_only`, a worker finishes the change later.
        """
        reason = _reason_in(request)[:MAX_REASON_LENGTH]
        if not request.user.has_perm(permission):
            self.message_user(request, _("You don't have permission to change these."), messages.ERROR)
            return
        if not reason:
            text = _("Enter a reason next to the action, then run it again.")
            self.message_user(request, text, messages.ERROR)
            return
        done = sum(self._one(request, row, reason, action, call) for row in rows)
        if done:
            text = ngettext("%d done.", "%d done.", done)
            if is_begun_only:
                text = ngettext(
                    "%d started. It continues in the background: reload the list to see its progress.",
                    "%d started. They continue in the background: reload the list to see their progress.",
                    done,
                )
            self.message_user(request, text % done, messages.SUCCESS)

    def _one(self, request: HttpRequest, row: models.Model, reason: str, action: str, call: Call) -> bool:
        try:
            with audit.because(reason):
                is_done = call(row, reason)
        except (Refusal, retries.Retryable, retries.Permanent) as refusal:
            self.message_user(request, f"{row}: {getattr(refusal, 'detail', refusal)}", messages.ERROR)
            return False
        if not is_done:
            text = _("%(row)s: nothing to do.") % {"row": row}
            self.message_user(request, text, messages.WARNING)
            return False
        organization = getattr(row, "organization", None)
        audit.record(action=action, organization=organization, target=row, detail={"reason": reason})
        return True


class AuditedAdmin(ReasonedActions):
    """Rows that staff can change. Nothing is deleted: rows are deactivated instead."""

    form = ReasonedModelForm
    records_itself = False  # the domain function that save_model calls writes the entry
    needs_fresh_log_in = False  # asks for re-authentication first

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = [
            (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        if not self._is_editable(request, obj):
            return fieldsets
        return [*fieldsets, (_("Reason for the change"), {"fields": ["reason"]})]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Shows a refusal of the domain function as a message on the page."""
        if self.needs_fresh_log_in and (detour := staff_access.confirm_first(request)):
            return detour
        try:
            with audit.because(_reason_in(request)):
                return super().changeform_view(request, *args, **kwargs)
        except Refusal as refusal:
            self.message_user(request, refusal.detail, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saves only the edited columns, so that concurrent changes of others are not overwritten."""
        if not change:
            obj.save()
        elif edited := [field.name for field in self.opts.concrete_fields if field.name in form.changed_data]:
            obj.save(update_fields=edited)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Records the changes: this is the last step of saving, in its transaction."""
        super().save_related(request, form, formsets, change)
        changes = changes_of(form, formsets)
        if changes and not self.records_itself:
            audit.record(
                action=f"{self.opts.model_name}.{'changed' if change else 'made'}_by_staff",
                organization=getattr(form.instance, "organization", None),
                target=form.instance,
                detail={"changes": changes},
            )
        if changes:
            self.after_change(request, form.instance, form.cleaned_data["reason"], changes)

    def after_change(self, request: HttpRequest, row: Any, reason: str, changes: dict[str, Any]) -> None:
        """Hook to notify people, in the transaction of the change."""

    def _is_editable(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)


class FactsAdmin(ReasonedActions, ReadOnlyAdmin):
    """Read-only rows with bulk actions that ask for a reason."""


class FactsInline(admin.TabularInline):
    """Read-only rows on the page of the row that they belong to."""

    template = "admin/facts_inline.html"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def staff_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin requires a login"
    return request.user


# --- Changes of a form ----------------------------------------------------------------------------------------------


def changes_of(form: Any, formsets: Iterable[BaseInlineFormSet]) -> dict[str, Any]:
    """Returns {field: {"from": …, "to": …}} for each changed field. Fields of inlines are prefixed with their row."""
    changes = _changes_of_form(form)
    for formset in formsets:
        for row in formset.forms:
            label = f"{row.instance._meta.verbose_name} {row.instance}"
            if row in formset.deleted_forms:
                changes[label] = {"from": _initial_values(row), "to": None}
            elif row.has_changed():
                changes |= {f"{label}: {name}": change for name, change in _changes_of_form(row).items()}
    return changes


def _changes_of_form(form: Any) -> dict[str, Any]:
    return {
        name: {"from": _plain(form.initial.get(name)), "to": _plain(form.cleaned_data.get(name))}
        for name in form.changed_data
        if name != "reason"
    }


def _initial_values(form: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in form.initial.items()}


def _plain(value: Any) -> Any:
    """Returns `value` for JSON: a row as its primary key, several as sorted names, other objects as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, models.QuerySet | list | tuple | set):
        return sorted(str(entry) for entry in value)
    return str(value)
