"""Beat's entries: written once, then staff's."""

from datetime import timedelta

import pytest
from celery import current_app
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from superagent import schedule
from superagent.foundation import tenancy
from superagent.schedule import At, Entry, Every

SWEEP = Entry("Test: sweep", task="tests.sweep", when=Every(timedelta(seconds=15)), why="because")
NIGHTLY = Entry("Test: nightly", task="tests.nightly", when=At(hour="3", minute="20"), why="it is quiet")


@pytest.fixture(autouse=True)
def entries(db: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schedule, "ENTRIES", (SWEEP, NIGHTLY))
    with tenancy.system("test"):
        yield


def test_entries_become_rows_once() -> None:
    assert schedule.seed() == (2, 0)
    assert schedule.seed() == (0, 0)
    sweep = PeriodicTask.objects.get(name="Test: sweep")
    assert (sweep.task, sweep.interval.every, sweep.interval.period) == ("tests.sweep", 15, "seconds")
    assert sweep.expire_seconds == 30
    nightly = PeriodicTask.objects.get(name="Test: nightly")
    assert (nightly.crontab.hour, nightly.crontab.minute, str(nightly.crontab.timezone)) == ("3", "20", "UTC")


def test_the_queue_of_an_entry_is_that_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """`superagent.celery.ROUTES` says it once; a queue in the row, an older release's say, would overrule it."""
    moved = Entry("Test: bulk", task="billing.tasks.collect_overage", when=SWEEP.when, why="because")
    monkeypatch.setattr(schedule, "ENTRIES", (moved,))
    schedule.seed()
    PeriodicTask.objects.filter(name=moved.name).update(queue="default")
    schedule.seed()
    row = ModelEntry(PeriodicTask.objects.get(name=moved.name), app=current_app)
    sent = current_app.amqp.router.route(dict(row.options), row.task)
    assert sent["queue"].name == "bulk"


def test_what_staff_changed_survives() -> None:
    schedule.seed()
    other, _ = schedule.IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    PeriodicTask.objects.filter(name="Test: sweep").update(interval=other, enabled=False)
    schedule.seed()
    sweep = PeriodicTask.objects.get(name="Test: sweep")
    assert (sweep.interval.every, sweep.enabled) == (60, False)


def test_a_renamed_task_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule.seed()
    moved = Entry(SWEEP.name, task="tests.moved", when=SWEEP.when, why=SWEEP.why)
    monkeypatch.setattr(schedule, "ENTRIES", (moved, NIGHTLY))
    schedule.seed()
    assert PeriodicTask.objects.get(name="Test: sweep").task == "tests.moved"


def test_an_entry_that_left_the_code_is_disabled_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule.seed()
    PeriodicTask.objects.create(
        name="Staff's own", task="tests.own", interval=schedule.IntervalSchedule.objects.first()
    )
    monkeypatch.setattr(schedule, "ENTRIES", (SWEEP,))
    assert schedule.seed() == (0, 1)
    assert not PeriodicTask.objects.get(name="Test: nightly").enabled
    assert PeriodicTask.objects.get(name="Staff's own").enabled


@pytest.mark.django_db(transaction=True)  # beat closes its connection
def test_beat_keeps_when_it_last_ran_what_between_ticks_too() -> None:
    """Celery calls `sync` outside of `tick`, where no scope is open."""
    schedule.seed()
    with tenancy.isolated():
        beat = schedule.Scheduler(app=current_app)
        beat.reserve(beat.schedule[SWEEP.name])
        beat.sync()
    row = PeriodicTask.objects.get(name=SWEEP.name)
    assert row.last_run_at is not None
    assert row.total_run_count == 1
