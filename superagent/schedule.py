"""The schedule: every Celery beat entry, with its reason.

`manage.py sync_schedule` (in the release step and in `make run`) writes entries that are new into the database. From
then on the row belongs to staff: interval, times and whether it is enabled are changed in the admin and survive. Code
keeps only the task's name and the text; an entry that is removed here is disabled there. The queue of a
task is defined in one place, superagent/celery.py, whoever sends it.

To add one, append an `Entry` to ENTRIES. Times are UTC. A task must process all that is due, never "today's", so that
a missed run is made up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from superagent.foundation import tenancy

SHORTEST_LIFE_SECONDS = 30  # a run waits this long for a busy worker
MARK = "In code: "  # begins the description of the rows that come from here


@dataclass(frozen=True)
class Every:
    """At an interval, in whole seconds."""

    interval: timedelta


@dataclass(frozen=True)
class At:
    """At clock times (UTC), in crontab notation."""

    hour: str = "*"
    minute: str = "0"
    day_of_month: str = "*"


@dataclass(frozen=True)
class Entry:
    name: str
    task: str
    when: Every | At
    why: str


ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="Outbox: sweep",
        task="superagent.foundation.tasks.sweep_outbox",
        when=Every(timedelta(seconds=15)),
        why="delivers messages left by a lost nudge or a killed worker",
    ),
    Entry(
        name="Outbox: sweep what calls Stripe",
        task="billing.tasks.sweep_payments",
        when=Every(timedelta(seconds=15)),
        why="delivers messages left by a lost nudge or a killed worker",
    ),
    Entry(
        name="Outbox: forget what is done",
        task="superagent.foundation.tasks.forget_done_messages",
        when=At(hour="3", minute="10"),
        why="deletes messages 30 days after they were done; their dedupe keys are kept",
    ),
    Entry(
        name="Idempotency: forget old answers",
        task="superagent.foundation.tasks.forget_idempotency_records",
        when=At(minute="20"),
        why="deletes stored responses after 30 days, and the encrypted secrets in them after one",
    ),
    Entry(
        name="Metering: ship the request spool",
        task="metering.tasks.ship_spool",
        when=Every(timedelta(seconds=2)),
        why="records the requests that this host answered in PostgreSQL",
    ),
    Entry(
        name="Metering: aggregate usage",
        task="metering.tasks.aggregate_usage",
        when=At(minute="5"),
        why="reconciles the hourly rollups with requests and events",
    ),
    Entry(
        name="Metering: reconcile what is counted",
        task="metering.tasks.reconcile_use",
        when=At(hour="0", minute="35"),
        why="reconciles figures that may still change, billed ones included, with requests and events",
    ),
    Entry(
        name="Metering: close usage periods",
        task="metering.tasks.close_periods",
        when=Every(timedelta(seconds=60)),
        why="closes and rates every period that has ended, including missed ones",
    ),
    Entry(
        name="Metering: quota alerts",
        task="metering.tasks.warn_of_quotas",
        when=Every(timedelta(seconds=30)),
        why="mails owners and admins within a minute of 80 and of 100 percent, once each",
    ),
    Entry(
        name="Metering: reconcile request counters",
        task="metering.tasks.reconcile_counters",
        when=Every(timedelta(minutes=5)),
        why="reconciles the counters in Redis with PostgreSQL",
    ),
    Entry(
        name="Metering: partitions of requests",
        task="metering.tasks.turn_partitions",
        when=At(hour="1", minute="30"),
        why="creates the partitions of the next months and drops those past retention",
    ),
    Entry(
        name="Stripe: sweep the inbox",
        task="billing.tasks.sweep_webhooks",
        when=Every(timedelta(seconds=10)),
        why="processes events left by a lost nudge or a killed worker",
    ),
    Entry(
        name="Stripe: reconcile events",
        task="billing.tasks.reconcile_webhooks",
        when=At(hour="2", minute="40"),
        why="fetches events of the last three days that never arrived, and retries dead letters once",
    ),
    Entry(
        name="Stripe: catch up",
        task="billing.tasks.catch_up_webhooks",
        when=Every(timedelta(minutes=5)),
        why="fetches the latest events, in case deliveries do not arrive",
    ),
    Entry(
        name="Stripe: forget old events",
        task="billing.tasks.forget_webhooks",
        when=At(hour="3", minute="20"),
        why="deletes processed events after 45 days, when Stripe can no longer send them again",
    ),
    Entry(
        name="Operations: alarm of late work",
        task="superagent.operations.tasks.alarm_of_late_work",
        when=Every(timedelta(minutes=5)),
        why="raises an alarm for work that has been failing for an hour",
    ),
    Entry(
        name="Billing: invoice overage",
        task="billing.tasks.collect_overage",
        when=At(minute="10"),
        why="the invoice job: invoices the overage of closed periods, including those that an earlier run missed",
    ),
    Entry(
        name="Billing: check overage",
        task="billing.tasks.check_overage",
        when=At(hour="4", minute="15"),
        why="raises an alarm if rated overage differs from invoiced and waived",
    ),
    Entry(
        name="Billing: expire orders",
        task="billing.tasks.expire_orders",
        when=At(minute="40"),
        why="expires orders whose payment page was abandoned",
    ),
    Entry(
        name="Licensing: write down what is due",
        task="licensing.tasks.sync_due_statuses",
        when=Every(timedelta(minutes=10)),
        why="stores the status of licenses that are suspended or expired by now, and mails about it",
    ),
    Entry(
        name="Licensing: forget old records",
        task="licensing.tasks.forget_old_license_records",
        when=At(hour="3", minute="50"),
        why="deletes activations without a heartbeat for half a year, and usage reports older than 90 days",
    ),
    Entry(
        name="Accounts: record the use of API keys",
        task="accounts.tasks.record_key_uses",
        when=Every(timedelta(minutes=1)),
        why="copies when each key was last used from Redis to PostgreSQL, in one statement",
    ),
    Entry(
        name="Accounts: store security events",
        task="accounts.tasks.store_security_events",
        when=Every(timedelta(seconds=60)),
        why="stores failed logins, wrong codes, exceeded limits and denied requests, repeats as one row",
    ),
    Entry(
        name="Accounts: forget security events",
        task="accounts.tasks.forget_security_events",
        when=At(hour="3", minute="50"),
        why="deletes security events after 90 days",
    ),
    Entry(
        name="Accounts: close accounts",
        task="accounts.tasks.close_accounts",
        when=At(minute="25"),
        why="closes accounts whose two weeks of waiting are over, including those that an earlier run missed",
    ),
    Entry(
        name="Accounts: close unused accounts",
        task="accounts.tasks.close_unused_accounts",
        when=At(hour="3", minute="50"),
        why="closes accounts whose email address was not confirmed within a month",
    ),
    Entry(
        name="Accounts: forget expired logins",
        task="accounts.tasks.forget_token_families",
        when=At(hour="3", minute="40"),
        why="deletes API sessions whose last refresh token has expired",
    ),
    Entry(
        name="Accounts: forget expired sessions",
        task="accounts.tasks.forget_sessions",
        when=At(hour="3", minute="50"),
        why="deletes expired portal sessions, which are rows",
    ),
)


@transaction.atomic
def seed() -> tuple[int, int]:
    """Create new entries and disable removed ones. Returns the numbers of both. Idempotent."""
    added = 0
    for entry in ENTRIES:
        # Without a queue of its own, a row goes where superagent.celery.ROUTES sends its task.
        kept = {"task": entry.task, "description": MARK + entry.why, "queue": None}
        fresh = kept | _schedule_fields(entry.when)
        _, is_new = PeriodicTask.objects.update_or_create(
            name=entry.name, defaults=kept, create_defaults=fresh
        )
        added += is_new
    gone = PeriodicTask.objects.filter(description__startswith=MARK, enabled=True)
    disabled = gone.exclude(name__in=[entry.name for entry in ENTRIES]).update(enabled=False)
    PeriodicTasks.update_changed()
    return added, disabled


@transaction.atomic
def change(*, task: PeriodicTask, is_enabled: bool, when: Every | At) -> None:
    """Enable or disable a task, or change when it runs. Beat picks it up within seconds."""
    task.enabled = is_enabled
    for field, value in _schedule_fields(when).items():
        setattr(task, field, value)
    task.save()  # its signal notifies beat


def _schedule_fields(when: Every | At) -> dict[str, object]:
    if isinstance(when, Every):
        seconds = int(when.interval.total_seconds())
        interval, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        # Without a worker the queue must not grow for ever: a run expires when the next one is due.
        return {"interval": interval, "expire_seconds": max(seconds, SHORTEST_LIFE_SECONDS)}
    crontab, _ = CrontabSchedule.objects.get_or_create(
        minute=when.minute,
        hour=when.hour,
        day_of_month=when.day_of_month,
        month_of_year="*",
        day_of_week="*",
        timezone="UTC",
    )
    return {"crontab": crontab}


class Scheduler(DatabaseScheduler):
    """Beat's scheduler: the rows of the schedule are for the system scope only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with tenancy.system("beat reads the schedule"):
            super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        with tenancy.system("beat runs the schedule"):
            return super().tick(*args, **kwargs)

    def sync(self) -> None:
        """Called between ticks too, and at the end."""
        with tenancy.system("beat keeps when it last ran what"):
            super().sync()
