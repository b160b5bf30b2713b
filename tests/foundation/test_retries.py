"""The policy by which rows of work are tried again; tests of the outbox and the inbox hold what each makes of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from superagent.foundation import retries
from superagent.foundation.models import OutboxMessage
from superagent.foundation.retries import RetryPolicy

POLICY = RetryPolicy("test", longest_backoff=timedelta(minutes=15), of_first_attempt=("first_sent_at",))

pytestmark = pytest.mark.usefixtures("system_scope")


def claimed(attempts: int = 1) -> OutboxMessage:
    return OutboxMessage.objects.create(
        topic="tests.topic", attempts=attempts, first_sent_at=timezone.now(), due_at=timezone.now()
    )


def after(row: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=row.pk)


def raising(error: Exception):
    def handler(row: OutboxMessage) -> None:
        raise error

    return handler


@pytest.mark.parametrize("attempts, seconds", [(0, 1), (1, 2), (9, 512), (10, 900), (10_000, 900)])
def test_pauses_double_up_to_the_longest(attempts: int, seconds: int) -> None:
    assert POLICY.backoff(attempts) == timedelta(seconds=seconds)


def test_what_succeeds_is_done() -> None:
    row = claimed()
    POLICY.run(row, lambda message: None)
    assert (after(row).state, after(row).last_error) == (retries.DONE, "") and after(row).finished_at


@pytest.mark.parametrize("error", [retries.Retryable("down"), ValueError("a mistake of ours")])
def test_what_fails_waits_and_says_why(error: Exception) -> None:
    row = claimed(attempts=3)
    before = timezone.now()
    POLICY.run(row, raising(error))
    found = after(row)
    assert (found.state, found.attempts) == (retries.PENDING, 3)
    assert found.last_error == f"{type(error).__name__}: {error}"
    assert found.due_at >= before + timedelta(seconds=8)


def test_what_can_never_work_is_a_dead_letter_until_it_is_replayed() -> None:
    row = claimed(attempts=3)
    POLICY.run(row, raising(retries.Permanent("no such thing")))
    dead = after(row)
    assert (dead.state, dead.last_error) == (retries.DEAD, "Permanent: no such thing") and dead.finished_at
    assert not POLICY.due(OutboxMessage.objects.all()).exists()
    assert POLICY.replay(OutboxMessage.objects.filter(pk=row.pk)) == 1
    found = after(row)
    assert (found.state, found.attempts, found.finished_at) == (retries.PENDING, 0, None)
    assert POLICY.due(OutboxMessage.objects.all()).get() == row


@pytest.mark.parametrize("attempts, is_first", [(1, True), (2, False)])
def test_what_is_postponed_was_not_tried(attempts: int, is_first: bool) -> None:
    row = claimed(attempts=attempts)
    POLICY.run(row, raising(retries.Postponed("the switch is thrown")))
    found = after(row)
    assert (found.state, found.attempts) == (retries.PENDING, attempts - 1)
    assert (found.first_sent_at is None) is is_first


@pytest.mark.parametrize(
    "error", [retries.Retryable("late"), retries.Permanent("late"), retries.Postponed("late")]
)
def test_a_failure_counts_only_of_the_run_that_claimed_last(error: Exception) -> None:
    row = claimed()
    OutboxMessage.objects.filter(pk=row.pk).update(attempts=2, due_at=row.due_at)
    POLICY.run(row, raising(error))
    found = after(row)
    assert (found.state, found.attempts, found.last_error, found.due_at) == (
        retries.PENDING,
        2,
        "",
        row.due_at,
    )


def test_a_success_counts_whoever_claimed_last() -> None:
    row = claimed()
    OutboxMessage.objects.filter(pk=row.pk).update(attempts=2)
    POLICY.run(row, lambda message: None)
    assert after(row).state == retries.DONE
