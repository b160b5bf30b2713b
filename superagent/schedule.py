"""The schedule: every Celery beat entry, with its reason.

`manage.py sync_schedule` (in the release step and in `make run`) writes entries that are new into the database. From
then on the row belongs to staff: interval, times and whether it is enabled are changed in the admin and survive. Code
keeps only the task's name and the text; an entry that is removed here is disabled there. On which queue a task runs is
said in one place, superagent/celery.py, whoever sends it.

To add one, append an `Entry` to ENTRIES. Times are UTC. A task must process all that is due, never "today's", so that
a missed run heals.
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
    """At times of the clock (UTC), in crontab's notation."""

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
        why="delivers what a lost nudge or a killed worker left",
    ),
    Entry(
        name="Outbox: sweep what calls Stripe",
        task="billing.tasks.sweep_payments",
        when=Every(timedelta(seconds=15)),
        why="delivers what a lost nudge or a killed worker left",
    ),
    Entry(
        name="Outbox: forget what is done",
        task="superagent.foundation.tasks.forget_done_messages",
        when=At(hour="3", minute="10"),
        why="messages are kept for 30 days after they were done, the keys that make them once-only for good",
    ),
    Entry(
        name="Idempotency: forget old answers",
        task="superagent.foundation.tasks.forget_idempotency_records",
        when=At(minute="20"),
        why="answers are kept for replay for 30 days, secrets in them, encrypted, for one",
    ),
    Entry(
        name="Metering: ship the request spool",
        task="metering.tasks.ship_spool",
        when=Every(timedelta(seconds=2)),
        why="brings the requests that this host answered into PostgreSQL",
    ),
    Entry(
        name="Metering: aggregate usage",
        task="metering.tasks.aggregate_usage",
        when=At(minute="5"),
        why="reconciles the hourly sums with requests and events",
    ),
    Entry(
        name="Metering: reconcile what is counted",
        task="metering.tasks.reconcile_use",
        when=At(hour="0", minute="35"),
        why="compares all that may still change, billed figures too, with requests and events",
    ),
    Entry(
        name="Metering: close usage periods",
        task="metering.tasks.close_periods",
        when=Every(timedelta(seconds=60)),
        why="closes and rates every period that has ended, missed ones too",
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
        why="compares what Redis counts with what PostgreSQL knows",
    ),
    Entry(
        name="Metering: partitions of requests",
        task="metering.tasks.turn_partitions",
        when=At(hour="1", minute="30"),
        why="makes the next months' partitions and drops those that are no longer kept",
    ),
    Entry(
        name="Stripe: sweep the inbox",
        task="billing.tasks.sweep_webhooks",
        when=Every(timedelta(seconds=10)),
        why="handles events that a lost nudge or a killed worker left",
    ),
    Entry(
        name="Stripe: reconcile events",
        task="billing.tasks.reconcile_webhooks",
        when=At(hour="2", minute="40"),
        why="fetches events of the last three days that never arrived, and tries dead ones once more",
    ),
    Entry(
        name="Stripe: catch up",
        task="billing.tasks.catch_up_webhooks",
        when=Every(timedelta(minutes=5)),
        why="fetches the latest events, in case that deliveries do not reach us",
    ),
    Entry(
        name="Stripe: forget old events",
        task="billing.tasks.forget_webhooks",
        when=At(hour="3", minute="20"),
        why="settled events are kept for 45 days, longer than Stripe can send them again",
    ),
    Entry(
        name="Operations: alarm of late work",
        task="superagent.operations.tasks.alarm_of_late_work",
        when=Every(timedelta(minutes=5)),
        why="says what has been tried for an hour without success",
    ),
    Entry(
        name="Billing: invoice overage",
        task="billing.tasks.collect_overage",
        when=At(minute="10"),
        why="the invoice job: puts what closed periods cost onto invoices, and heals missed runs",
    ),
    Entry(
        name="Billing: check overage",
        task="billing.tasks.check_overage",
        when=At(hour="4", minute="15"),
        why="alarms when rated differs from invoiced and waived",
    ),
    Entry(
        name="Billing: expire orders",
        task="billing.tasks.expire_orders",
        when=At(minute="40"),
        why="orders whose payment page was left are no longer pending",
    ),
    Entry(
        name="Licensing: write down what is due",
        task="licensing.tasks.write_down_due_licenses",
        when=Every(timedelta(minutes=10)),
        why="stores suspended and expired what validation has refused since its date, and mails about it",
    ),
    Entry(
        name="Licensing: forget old records",
        task="licensing.tasks.forget_old_license_records",
        when=At(hour="3", minute="50"),
        why="servers that were silent for half a year, and reports of use older than 90 days",
    ),
    Entry(
        name="Accounts: record the use of API keys",
        task="accounts.tasks.record_key_uses",
        when=Every(timedelta(minutes=1)),
        why="when each key was last used, from Redis into PostgreSQL in one statement",
    ),
    Entry(
        name="Accounts: store security events",
        task="accounts.tasks.store_security_events",
        when=Every(timedelta(seconds=60)),
        why="writes failed logins, wrong codes, reached limits and refused rights, repeats as one row",
    ),
    Entry(
        name="Accounts: forget security events",
        task="accounts.tasks.forget_security_events",
        when=At(hour="3", minute="50"),
        why="what was refused is kept for 90 days",
    ),
    Entry(
        name="Accounts: close accounts",
        task="accounts.tasks.close_accounts",
        when=At(minute="25"),
        why="closes the accounts whose two weeks of waiting are over, missed ones too",
    ),
    Entry(
        name="Accounts: close unused accounts",
        task="accounts.tasks.close_unused_accounts",
        when=At(hour="3", minute="50"),
        why="an address that nobody confirmed within a month is free again",
    ),
    Entry(
        name="Accounts: forget expired logins",
        task="accounts.tasks.forget_token_families",
        when=At(hour="3", minute="40"),
        why="logins of the API end when their last refresh token expires",
    ),
    Entry(
        name="Accounts: forget expired sessions",
        task="accounts.tasks.forget_sessions",
        when=At(hour="3", minute="50"),
        why="sessions of the portal are rows, and nobody else deletes them",
    ),
)


@transaction.atomic
def seed() -> tuple[int, int]:
    """Write the entries that are new and disable those that are gone: (added, disabled). Repeatable."""
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
    """Switch a task on or off, or run it at other times. Beat takes it up within seconds."""
    task.enabled = is_enabled
    for field, value in _schedule_fields(when).items():
        setattr(task, field, value)
    task.save()  # its signal tells beat


def _schedule_fields(when: Every | At) -> dict[str, object]:
    if isinstance(when, Every):
        seconds = int(when.interval.total_seconds())
        interval, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        # Without a worker the queue must not grow for ever: a run that the next one replaces expires.
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
    """What beat runs: the rows of the schedule are for the system role only."""

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
