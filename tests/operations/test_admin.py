"""Background work in the admin: dead messages are sent again or dismissed, tasks run at other times; with a right and a
reason, and both leave an entry in the audit trail.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from accounts.models import AuditEntry, User
from superagent import schedule
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.operations import backlogs
from superagent.schedule import At, Entry, Every
from tests.accounts.conftest import person
from tests.fixtures.staff import staff_client

OUTBOX = "/admin/foundation/outboxmessage/"
TASKS = "/admin/django_celery_beat/periodictask/"
DEAD, PENDING, DONE, DISMISSED = "dead", "pending", "done", "dismissed"


def staff(*permissions: str) -> tuple[User, Client]:
    """A member of staff with exactly these permissions."""
    user = person("sam@superagent.example", is_staff=True)
    with tenancy.system("test"):
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        assert user.user_permissions.count() == len(permissions)
    return user, staff_client(user)


def entries(action: str) -> list[AuditEntry]:
    with tenancy.system("test"):
        return list(AuditEntry.objects.filter(action=action).order_by("id"))


# --- The outbox -------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(db: None) -> OutboxMessage:
    return message(DEAD, attempts=7, last_error="refused for good")


def message(state: str, **fields: Any) -> OutboxMessage:
    with tenancy.system("test"):
        return OutboxMessage.objects.create(topic="test.nothing", state=state, **fields)


def act(client: Client, action: str, *rows: OutboxMessage, reason: str = "The invoice was voided") -> str:
    """The page that follows."""
    body = {"action": action, "_selected_action": [str(row.pk) for row in rows], "reason": reason}
    return client.post(OUTBOX, body, follow=True).content.decode()


def fresh(row: OutboxMessage) -> OutboxMessage:
    with tenancy.system("test"):
        return OutboxMessage.objects.get(pk=row.pk)


def test_a_dead_message_is_dismissed_with_a_reason_and_raises_no_alarm_any_more(dead: OutboxMessage) -> None:
    user, client = staff("view_outboxmessage", "change_outboxmessage")
    assert "1 done." in act(client, "dismiss", dead)
    after = fresh(dead)
    assert (after.state, after.last_error, after.attempts) == (DISMISSED, "refused for good", 7)
    assert after.finished_at is not None
    [entry] = entries("outbox_message.dismissed")
    assert (entry.actor_id, entry.target_id) == (user.pk, str(dead.pk))
    assert entry.detail == {"reason": "The invoice was voided"}
    with tenancy.system("test"):
        [waiting] = [queue for queue in backlogs.QUEUES if queue.name == "outbox_dead"]
        assert waiting.measure().count == 0
    outbox.deliver(dead.pk)
    assert fresh(dead).state == DISMISSED  # for good


def test_only_dead_messages_are_dismissed_each_on_its_own(dead: OutboxMessage) -> None:
    _, client = staff("view_outboxmessage", "change_outboxmessage")
    others = [message(state) for state in (PENDING, DONE, DISMISSED)]
    page = act(client, "dismiss", dead, *others)
    assert "1 done." in page and page.count("nothing to do.") == 3
    assert [fresh(row).state for row in (dead, *others)] == [DISMISSED, PENDING, DONE, DISMISSED]
    assert len(entries("outbox_message.dismissed")) == 1


def test_a_dead_message_is_tried_again_under_its_id(dead: OutboxMessage) -> None:
    user, client = staff("view_outboxmessage", "change_outboxmessage")
    assert "1 done." in act(client, "replay", dead, reason="Their side is mended")
    after = fresh(dead)
    assert (after.state, after.attempts, after.first_sent_at, after.finished_at) == (PENDING, 0, None, None)
    [entry] = entries("outbox_message.replayed")
    assert (entry.actor_id, entry.detail) == (user.pk, {"reason": "Their side is mended"})


@pytest.mark.parametrize("action", ["replay", "dismiss"])
def test_without_the_right_or_a_reason_nothing_happens(dead: OutboxMessage, action: str) -> None:
    user, client = staff("view_outboxmessage")
    assert "You don&#x27;t have permission to change these." in act(client, action, dead)
    with tenancy.system("test"):
        user.user_permissions.add(Permission.objects.get(codename="change_outboxmessage"))
    client = staff_client(user)
    assert "Enter a reason next to the action" in act(client, action, dead, reason="  ")
    assert fresh(dead).state == DEAD
    assert entries("outbox_message.replayed") == entries("outbox_message.dismissed") == []


def test_who_may_not_see_the_outbox_does_nothing_there(dead: OutboxMessage) -> None:
    _, client = staff("change_periodictask")
    assert (
        client.post(
            OUTBOX, {"action": "dismiss", "_selected_action": str(dead.pk), "reason": "x"}
        ).status_code
        == 403
    )
    assert fresh(dead).state == DEAD


def test_a_reason_that_is_too_long_and_an_id_that_is_none_change_nothing(dead: OutboxMessage) -> None:
    _, client = staff("view_outboxmessage", "change_outboxmessage")
    body = {"action": "dismiss", "_selected_action": "no-id", "reason": "x"}
    assert client.post(OUTBOX, body).status_code == 400
    assert "1 done." not in act(client, "dismiss", dead, reason="r" * 301)
    assert fresh(dead).state == DEAD and entries("outbox_message.dismissed") == []
    assert "1 done." in act(client, "dismiss", dead, reason="r" * 300)


# --- The schedule -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tasks(db: None, monkeypatch: pytest.MonkeyPatch) -> tuple[PeriodicTask, PeriodicTask]:
    """One at an interval, one at times of the clock."""
    monkeypatch.setattr(
        schedule,
        "ENTRIES",
        (
            Entry("Test: sweep", task="tests.sweep", when=Every(timedelta(seconds=15)), why="because"),
            Entry("Test: nightly", task="tests.nightly", when=At(hour="3", minute="20"), why="it is quiet"),
        ),
    )
    with tenancy.system("test"):
        schedule.seed()
        return PeriodicTask.objects.get(name="Test: sweep"), PeriodicTask.objects.get(name="Test: nightly")


def save(client: Client, row: PeriodicTask, **fields: str) -> Any:
    return client.post(f"{TASKS}{row.pk}/change/", {"reason": "The night is short"} | fields)


def again(task: PeriodicTask) -> PeriodicTask:
    with tenancy.system("test"):
        return PeriodicTask.objects.select_related("interval", "crontab").get(pk=task.pk)


def test_a_task_runs_at_another_interval_and_beat_is_told(tasks: tuple[PeriodicTask, PeriodicTask]) -> None:
    sweep, _ = tasks
    user, client = staff("view_periodictask", "change_periodictask")
    with tenancy.system("test"):
        told = schedule.PeriodicTasks.last_change()
    assert save(client, sweep, enabled="on", every_seconds="40").status_code == 302
    after = again(sweep)
    assert (after.enabled, after.interval.every, after.interval.period) == (True, 40, "seconds")
    assert after.expire_seconds == 40  # a run that the next one replaces expires
    with tenancy.system("test"):
        assert schedule.PeriodicTasks.last_change() > told
    [entry] = entries("periodictask.changed_by_staff")
    assert (entry.actor_id, entry.target_id) == (user.pk, str(sweep.pk))
    assert entry.detail == {
        "changes": {"every_seconds": {"from": 15, "to": 40}},
        "reason": "The night is short",
    }


def test_a_task_runs_at_other_times_and_is_switched_off(tasks: tuple[PeriodicTask, PeriodicTask]) -> None:
    _, nightly = tasks
    _, client = staff("view_periodictask", "change_periodictask")
    assert save(client, nightly, minute="*/10", hour="1-5", day_of_month="1,15").status_code == 302
    after = again(nightly)
    assert (after.enabled, after.crontab.minute, after.crontab.hour, after.crontab.day_of_month) == (
        False, "*/10", "1-5", "1,15",
    )  # fmt: skip
    assert str(after.crontab.timezone) == "UTC"
    [entry] = entries("periodictask.changed_by_staff")
    assert set(entry.detail["changes"]) == {"enabled", "minute", "hour", "day_of_month"}
    with tenancy.system("test"):
        schedule.seed()  # a release
    assert (again(nightly).enabled, again(nightly).crontab.minute) == (False, "*/10")


@pytest.mark.parametrize(
    "fields",
    [
        {"minute": "61"},
        {"minute": "*/0"},
        {"minute": "five"},
        {"minute": ""},
        {"minute": "\x00"},
        {"hour": "24"},
        {"hour": "-1"},
        {"day_of_month": "0"},
        {"day_of_month": "32"},
        {"day_of_month": "1" * 61},
        {"reason": ""},
        {"reason": "r" * 301},
    ],
)
def test_times_that_are_none_are_refused_and_nothing_changes(
    tasks: tuple[PeriodicTask, PeriodicTask], fields: dict[str, str]
) -> None:
    _, nightly = tasks
    _, client = staff("view_periodictask", "change_periodictask")
    whole = {"enabled": "on", "minute": "5", "hour": "2", "day_of_month": "*"} | fields
    answer = save(client, nightly, **whole)
    assert answer.status_code == 200
    [wrong] = fields
    assert answer.context["adminform"].form.errors.keys() == {wrong}
    after = again(nightly)
    assert (after.enabled, after.crontab.minute, after.crontab.hour) == (True, "20", "3")
    assert entries("periodictask.changed_by_staff") == []
    with tenancy.system("test"):
        assert CrontabSchedule.objects.count() == 1


@pytest.mark.parametrize("seconds", ["0", "-5", "0.5", "604801", "soon", "", "1e3", "9" * 40])
def test_intervals_that_are_none_are_refused(tasks: tuple[PeriodicTask, PeriodicTask], seconds: str) -> None:
    sweep, _ = tasks
    _, client = staff("view_periodictask", "change_periodictask")
    answer = save(client, sweep, enabled="on", every_seconds=seconds)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors.keys() == {"every_seconds"}
    assert again(sweep).interval.every == 15


def test_what_code_declares_cannot_be_posted(tasks: tuple[PeriodicTask, PeriodicTask]) -> None:
    """A task's name or arguments would run anything that the worker knows."""
    sweep, _ = tasks
    _, client = staff("view_periodictask", "change_periodictask", "add_periodictask", "delete_periodictask")
    more = {
        "task": "superagent.tasks.other",
        "name": "Mine",
        "args": "[1]",
        "queue": "bulk",
        "one_off": "on",
    }
    assert save(client, sweep, enabled="on", every_seconds="15", **more).status_code == 302
    after = again(sweep)
    assert (after.task, after.name, after.args, after.one_off) == ("tests.sweep", "Test: sweep", "[]", False)
    assert client.get(f"{TASKS}add/").status_code == 403
    assert client.post(f"{TASKS}{sweep.pk}/delete/", {"post": "yes"}).status_code == 403
    assert again(sweep).pk == sweep.pk


def test_who_may_only_look_changes_no_task(tasks: tuple[PeriodicTask, PeriodicTask]) -> None:
    sweep, _ = tasks
    _, client = staff("view_periodictask")
    page = client.get(f"{TASKS}{sweep.pk}/change/").content.decode()
    assert "tests.sweep" in page and 'name="every_seconds"' not in page
    assert save(client, sweep, every_seconds="60").status_code == 403
    assert (again(sweep).enabled, again(sweep).interval.every) == (True, 15)
