"""Admin pages of background work: the outbox and the schedule."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from accounts.admin.audited import AuditedAdmin, ReasonedActions, ReasonedModelForm
from superagent import schedule
from superagent.foundation import outbox
from superagent.foundation.admin import LargeList
from superagent.foundation.models import OutboxMessage
from superagent.schedule import At, Every

TIMES = ("minute", "hour", "day_of_month")
CHANGE_MESSAGE = "foundation.change_outboxmessage"


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReasonedActions, LargeList):
    """Messages to outside systems, newest first. Staff replay dead letters, or dismiss those that cannot succeed."""

    list_display = ["topic", "state", "attempts", "due_at", "created_at", "finished_at"]
    list_filter = ["state"]
    search_fields = ["=dedupe_key", "=id"]
    search_help_text = _("The exact id or key of a message.")
    actions = ["replay", "dismiss"]

    @admin.action(description=_("Try dead messages again"), permissions=["view"])
    def replay(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        def call(message: OutboxMessage, reason: str) -> bool:
            return outbox.replay(message, by_person=True)

        self.act(request, queryset, permission=CHANGE_MESSAGE, action="outbox_message.replayed", call=call)

    @admin.action(description=_("Dismiss dead messages (never send them)"), permissions=["view"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        def call(message: OutboxMessage, reason: str) -> bool:
            return outbox.dismiss(message)

        self.act(request, queryset, permission=CHANGE_MESSAGE, action="outbox_message.dismissed", call=call)


class ScheduleForm(ReasonedModelForm):
    """An interval in seconds or crontab times, whichever the task has."""

    every_seconds = forms.IntegerField(label=_("Every … seconds"), min_value=1, max_value=7 * 24 * 3600)
    minute = forms.CharField(label=_("Minute"), max_length=60, help_text=_("As in crontab: 5, */10 or *."))
    hour = forms.CharField(label=_("Hour (UTC)"), max_length=60)
    day_of_month = forms.CharField(label=_("Day of the month"), max_length=60)

    class Meta:
        model = PeriodicTask
        fields = ["enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Keep only the fields of this task: an interval, or crontab times."""
        super().__init__(*args, **kwargs)
        times = _times_of(self.instance)
        self.initial.update(times)
        for name in {"every_seconds", *TIMES} - times.keys():
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if "minute" in self.fields and not self.errors:
            times = {name: values[name] for name in TIMES}
            try:
                CrontabSchedule(**times).clean_fields()
            except ValidationError as error:
                raise ValidationError(
                    {name: error.message_dict[name] for name in times if name in error.message_dict}
                ) from None
        return values


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(AuditedAdmin):
    """Tasks are declared in code (superagent.schedule); staff decide when and whether they run."""

    form = ScheduleForm
    list_display = ["name", "enabled", "runs", "last_run_at", "total_run_count"]
    list_filter = ["enabled"]
    list_select_related = ["interval", "crontab"]
    search_fields = ["name", "task"]
    ordering = ["name"]
    readonly_fields = ["name", "task", "description", "last_run_at", "total_run_count"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        facts = ["name", "task", "description", "last_run_at", "total_run_count"]
        if obj is None or not self.has_change_permission(request, obj):
            return [*facts, "enabled"]
        return [*facts, "enabled", *_times_of(obj)]

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: ScheduleForm, change: bool) -> None:
        values = form.cleaned_data
        if not {"enabled", "every_seconds", *TIMES} & set(form.changed_data):
            return  # beat need not hear of it
        if "every_seconds" in values:
            when: Every | At = Every(timedelta(seconds=values["every_seconds"]))
        else:
            when = At(**{name: values[name] for name in TIMES})
        schedule.change(task=obj, is_enabled=values["enabled"], when=when)

    @admin.display(description=_("runs"))
    def runs(self, task: PeriodicTask) -> str:
        return str(task.interval or task.crontab or "")


def _times_of(task: PeriodicTask) -> dict[str, Any]:
    """Returns the current values of the fields that staff may change."""
    if task.interval is not None:
        return {"every_seconds": int(task.interval.schedule.run_every.total_seconds())}
    return {name: getattr(task.crontab, name) for name in TIMES} if task.crontab else {}
