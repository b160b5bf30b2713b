import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from superagent.foundation import outbox, retries, tenancy
from superagent.foundation.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def topic(monkeypatch):
    """A topic of this test, with what its handler saw and what it should raise."""
    calls, failures = [], []

    def handle(message):
        calls.append((message.pk, message.payload))
        if failures:
            raise failures.pop(0)

    monkeypatch.setitem(outbox._handlers, "tests.topic", handle)
    handle.calls, handle.failures = calls, failures
    return handle


def enqueue(**fields):
    """Written in the past, so that no worker is nudged: the test decides who delivers."""
    with tenancy.system("test"), transaction.atomic():
        outbox.enqueue(topic="tests.topic", due_at=timezone.now() - timedelta(seconds=1), **fields)


def stored():
    with tenancy.system("test"):
        return OutboxMessage.objects.get(topic="tests.topic")


def test_sweep_delivers_once_and_keeps_the_id(topic):
    enqueue(payload={"n": 1})
    assert outbox.sweep() == 1
    assert outbox.sweep() == 0
    message = stored()
    assert topic.calls == [(message.pk, {"n": 1})]
    assert message.state == OutboxMessage.State.DONE
    assert message.attempts == 1


def test_a_rolled_back_transaction_leaves_no_message(topic):
    with tenancy.system("test"), pytest.raises(RuntimeError), transaction.atomic():
        outbox.enqueue(topic="tests.topic", payload={})
        raise RuntimeError
    assert outbox.sweep() == 0
    assert topic.calls == []


def test_dedupe_key_writes_one_message(topic):
    for _ in range(3):
        enqueue(payload={}, dedupe_key="once")
    assert outbox.sweep() == 1


def test_failure_backs_off_and_keeps_the_reason(topic):
    topic.failures.append(retries.Retryable("the far end is down"))
    enqueue(payload={})
    outbox.sweep()
    message = stored()
    assert message.state == OutboxMessage.State.PENDING
    assert message.due_at > timezone.now()
    assert "the far end is down" in message.last_error


def test_permanent_failure_is_dead_and_can_be_replayed(topic):
    topic.failures.append(retries.Permanent("refused"))
    enqueue(payload={})
    outbox.sweep()
    assert stored().state == OutboxMessage.State.DEAD
    with tenancy.system("test"):
        outbox.replay(stored())
        OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    outbox.sweep()
    assert stored().state == OutboxMessage.State.DONE
    assert topic.calls[0][0] == topic.calls[1][0]


@pytest.mark.parametrize("failure", [retries.Retryable("Stripe is down"), KeyError("a mistake of ours")])
def test_only_what_can_never_work_dies(topic, failure):
    """An outage of days, and a mistake until it is mended, kill no message."""
    enqueue(payload={})
    for _ in range(40):
        topic.failures.append(failure)
        with tenancy.system("test"):
            OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        outbox.sweep()
    message = stored()
    assert (message.state, message.attempts) == (OutboxMessage.State.PENDING, 40)
    assert message.due_at <= timezone.now() + outbox.POLICY.longest_backoff
    with tenancy.system("test"):
        OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    outbox.sweep()
    assert stored().state == OutboxMessage.State.DONE


def test_a_leased_message_is_found_again_after_its_worker_was_killed(topic):
    enqueue(payload={})
    message = stored()
    with tenancy.system("test"):
        assert outbox._claim(message.pk) is not None  # the worker dies here
    assert outbox.sweep() == 0
    with tenancy.system("test"):
        OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert outbox.sweep() == 1
    assert len(topic.calls) == 1


def test_many_workers_deliver_a_message_once(topic):
    enqueue(payload={})
    message = stored()
    barrier = threading.Barrier(6)

    def work():
        barrier.wait()
        try:
            outbox.deliver(message.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(topic.calls) == 1


def test_a_postponed_message_uses_up_no_attempt_and_was_never_sent(topic):
    enqueue(payload={})
    for _ in range(50):
        topic.failures.append(retries.Postponed("the switch is thrown"))
        with tenancy.system("test"):
            OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        outbox.sweep()
    message = stored()
    assert (message.state, message.attempts, message.first_sent_at) == ("pending", 0, None)
    assert message.due_at > timezone.now()


def test_the_failure_of_a_run_that_outlived_its_lease_does_not_undo_the_next_run(topic, monkeypatch):
    """Another run claims the message after the lease, and only then does the first one fail."""

    def slow(message):
        topic.calls.append((message.pk, message.payload))
        with tenancy.system("test"):
            OutboxMessage.objects.update(due_at=timezone.now() - timedelta(seconds=1))
            assert outbox._claim(message.pk) is not None
        raise retries.Permanent("refused")

    monkeypatch.setitem(outbox._handlers, "tests.topic", slow)
    enqueue(payload={})
    outbox.sweep()
    assert (stored().state, stored().attempts) == ("pending", 2)


def test_who_replays_after_looking_at_the_outside_world_starts_anew(topic):
    topic.failures.append(retries.Permanent("a person must look"))
    enqueue(payload={})
    outbox.sweep()
    with tenancy.system("test"):
        outbox.replay(stored())
        assert stored().first_sent_at is not None
        OutboxMessage.objects.update(state="dead")
        outbox.replay(stored(), by_person=True)
    assert stored().first_sent_at is None
