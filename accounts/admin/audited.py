"""What every admin page of ours is built on: facts are read; a change asks why, and leaves an entry in the audit trail.

The admin site registers nothing else (superagent.operations.admin_site), so no library's page can change a row unseen.
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


KEPT = gettext_lazy("It is kept in the audit trail.")


def reason_field(help_text: Any = KEPT) -> forms.CharField:
    return forms.CharField(label=gettext_lazy("Reason"), max_length=MAX_REASON_LENGTH, help_text=help_text)


def _reason_in(request: HttpRequest) -> str:
    return request.POST.get("reason", "").replace("\0", "").strip()  # PostgreSQL's text holds no NUL


class ReasonForm(ActionForm):
    """Beside every action that changes something: why."""

    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=MAX_REASON_LENGTH)


class ReasonedModelForm(forms.ModelForm):
    """A form for one row, and why it is saved."""

    reason = reason_field()


class ReasonedActions(QuickAdmin):
    """Actions on several rows at once."""

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
        """Call `call(row, reason)` for each row, each on its own, so that one refusal stops no other, and record it;
        `call` returns whether it did anything. `is_begun_only`: a worker goes on with it afterwards."""
        reason = _reason_in(request)[:MAX_REASON_LENGTH]
        if not request.user.has_perm(permission):
            self.message_user(request, _("You may look at these, but not change them."), messages.ERROR)
            return
        if not reason:
            text = _("Nothing was done: give a reason beside the action.")
            self.message_user(request, text, messages.ERROR)
            return
        done = sum(self._one(request, row, reason, action, call) for row in rows)
        if done:
            text = ngettext("%d done.", "%d done.", done)
            if is_begun_only:
                text = ngettext(
                    "%d begun. It goes on in the background: reload the list to see how far it is.",
                    "%d begun. They go on in the background: reload the list to see how far they are.",
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
    """Rows that staff change. Nothing is deleted: rows are taken out of use instead."""

    form = ReasonedModelForm
    records_itself = False  # the domain function that save_model calls writes the entry
    needs_fresh_log_in = False  # dangerous enough to ask again who is there

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = [
            (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        if not self._is_editable(request, obj):
            return fieldsets
        return [*fieldsets, (_("Why"), {"fields": ["reason"]})]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What a domain function refuses is said on the page, and nothing is changed."""
        if self.needs_fresh_log_in and (detour := staff_access.confirm_first(request)):
            return detour
        try:
            with audit.because(_reason_in(request)):
                return super().changeform_view(request, *args, **kwargs)
        except Refusal as refusal:
            self.message_user(request, refusal.detail, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Only the columns that were edited, so that nothing else goes back to what it was when the page was read."""
        if not change:
            obj.save()
        elif edited := [field.name for field in self.opts.concrete_fields if field.name in form.changed_data]:
            obj.save(update_fields=edited)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The last step of saving, in its transaction: now all that was changed is known."""
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
        """For who must be told. In the transaction of the change."""

    def _is_editable(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)


class FactsAdmin(ReasonedActions, ReadOnlyAdmin):
    """Rows that staff read; their actions ask for a reason."""


class FactsInline(admin.TabularInline):
    """Rows shown on the page of what they belong to."""

    template = "admin/facts_inline.html"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def staff_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin is for people who are logged in"
    return request.user


# --- What was changed -------------------------------------------------------------------------------------------------


def changes_of(form: Any, formsets: Iterable[BaseInlineFormSet]) -> dict[str, Any]:
    """Each changed field with what it was and is; rows of inlines under what they are called."""
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
    """As JSON: a row by its key, several by what they are called, anything unusual by its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, models.QuerySet | list | tuple | set):
        return sorted(str(entry) for entry in value)
    return str(value)
