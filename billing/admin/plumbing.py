"""Actions of staff that change something: with a reason, one domain call each, in the audit trail."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit
from accounts.admin import ReasonForm
from superagent.foundation import outbox
from superagent.foundation.admin import ReadOnlyAdmin
from superagent.foundation.problems import Refusal

Act = Callable[[Any, str], bool]


class FactsAdmin(ReadOnlyAdmin):
    """Rows that staff read; their actions ask for a reason."""

    action_form = ReasonForm

    def act(
        self, request: HttpRequest, rows: Iterable[models.Model], *, permission: str, action: str, call: Act
    ) -> None:
        """Call `call(row, reason)` for each row, and record it; `call` answers whether it did anything."""
        reason = request.POST.get("reason", "").strip()
        if not request.user.has_perm(permission):
            self.message_user(request, _("You may look at these, but not change them."), messages.ERROR)
            return
        if not reason:
            self.message_user(
                request, _("Nothing was done: give a reason beside the action."), messages.ERROR
            )
            return
        done = sum(self._one(request, row, reason, action, call) for row in rows)
        if done:
            text = ngettext("%d done.", "%d done.", done)
            self.message_user(request, text % done, messages.SUCCESS)

    def _one(self, request: HttpRequest, row: models.Model, reason: str, action: str, call: Act) -> bool:
        try:
            is_done = call(row, reason)
        except (Refusal, outbox.Retryable, outbox.Permanent) as refusal:
            self.message_user(request, f"{row}: {getattr(refusal, 'detail', refusal)}", messages.ERROR)
            return False
        if not is_done:
            self.message_user(request, _("%(row)s: nothing to do.") % {"row": row}, messages.WARNING)
            return False
        audit.record(
            action=action,
            organization=getattr(row, "organization", None),
            target=row,
            detail={"reason": reason},
        )
        return True


class FactsInline(admin.TabularInline):
    """Rows shown on the page of what they belong to."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
