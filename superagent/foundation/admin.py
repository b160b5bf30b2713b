from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage


class ReadOnlyAdmin(admin.ModelAdmin):
    """Base for facts: staff look, nobody adds, changes or deletes."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """What must happen outside, newest first; dead messages can be tried again by who may change them."""

    list_display = ["topic", "state", "attempts", "due_at", "created_at", "finished_at"]
    list_filter = ["state", "topic"]
    search_fields = ["=dedupe_key", "=id"]
    ordering = ["-id"]  # the pending ones have an index, all others only this
    actions = ["replay"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("foundation.change_outboxmessage")

    @admin.action(description=_("Try dead messages again"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        dead = list(queryset.filter(state=OutboxMessage.State.DEAD))
        for message in dead:
            outbox.replay(message, by_person=True)
        text = ngettext("%d message will be tried again.", "%d messages will be tried again.", len(dead))
        self.message_user(request, text % len(dead), messages.SUCCESS)
