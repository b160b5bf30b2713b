"""Events are processed in order for each customer; what fails is retried with backoff, and nothing is lost."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing.models import WebhookEvent, WebhookLease
from billing.stripe import client, fencing, inbox
from superagent.foundation import retries, tenancy
from superagent.foundation.identifiers import uuid7
from superagent.operations import backlogs
from tests.billing.conftest import Customer, event


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[inbox.Handler], None]:
    """Gives events of type `test.thing` a handler."""

    def register(function: inbox.Handler) -> None:
        monkeypatch.setitem(inbox.HANDLERS, "test.thing", function)

    return register


def put(customer_id: str = "cus_1", created: int = 100) -> WebhookEvent:
    body = event("test.thing", created=created) | {
        "data": {"object": {"id": customer_id, "object": "customer"}}
    }
    inbox.store([body])
    return WebhookEvent.objects.get(stripe_id=body["id"])


def test_a_lane_is_worked_off_in_the_order_of_created(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    seen: list[str] = []
    handle(lambda event: seen.append(event.stripe_id))
    late, early = put(created=200), put(created=100)
    assert inbox.process_queue("cus_1") == 2
    assert seen == [early.stripe_id, late.stripe_id]


def test_a_failing_event_backs_off_alone_until_it_works(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    def work(event: WebhookEvent) -> None:
        if event.created_at.timestamp() == 1:
            raise retries.Retryable("not yet")

    handle(work)
    bad, good = put(created=1), put(created=2)
    inbox.process_queue("cus_1")
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (good.state, bad.state, bad.attempts) == ("done", "pending", 1)
    assert bad.due_at > timezone.now()
    for _ in range(40):  # Stripe is away for days
        WebhookEvent.objects.filter(pk=bad.pk).update(due_at=timezone.now() - timedelta(seconds=1))
        inbox.sweep()
    bad.refresh_from_db()
    assert (bad.state, bad.attempts, bad.last_error) == ("pending", 41, "Retryable: not yet")
    assert bad.due_at <= timezone.now() + inbox.POLICY.longest_backoff
    handle(lambda event: None)
    WebhookEvent.objects.filter(pk=bad.pk).update(due_at=timezone.now())
    inbox.sweep()
    bad.refresh_from_db()
    assert bad.state == "done"


def test_what_can_never_work_is_dead_and_is_tried_once_more_by_the_reconciliation(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    def refuse(event: WebhookEvent) -> None:
        raise retries.Permanent("not in the catalog")

    handle(refuse)
    event = put(created=1)
    since = timezone.now() - timedelta(days=1)
    inbox.sweep()
    for _ in range(2):
        event.refresh_from_db()
        assert (event.state, event.last_error) == ("dead", "Permanent: not in the catalog")
        assert inbox.revive(since=since) == 1
        inbox.sweep()
    assert inbox.revive(since=since) == 1
    handle(lambda event: None)
    inbox.sweep()
    event.refresh_from_db()
    assert event.state == "done" and inbox.revive(since=since) == 0


def test_an_event_that_arrives_while_its_lane_is_held_is_not_lost(
    system_scope: None, handle: Callable[[inbox.Handler], None]
) -> None:
    seen: list[int] = []

    def work(event: WebhookEvent) -> None:
        seen.append(1)
        if len(seen) == 1:
            put(created=300)
            assert inbox.process_queue("cus_1") == 0  # its nudge meets the lease

    handle(work)
    put(created=1)
    inbox.process_queue("cus_1")
    assert len(seen) == 2


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_lease_ran_out_neither_renews_nor_ends_the_one_of_who_came_after(
    handle: Callable[[inbox.Handler], None],
) -> None:
    """It did both: then a third worked on the partition beside the second."""
    seen: list[str] = []
    working = {name: threading.Event() for name in ("slow", "second")}
    may_end = {name: threading.Event() for name in ("slow", "second")}

    def work(event: WebhookEvent) -> None:
        me = threading.current_thread().name
        seen.append(f"{me} {event.created_at:%S}")
        working[me].set()
        assert may_end[me].wait(60)

    def drain() -> int:
        try:
            return inbox.process_queue("cus_1")
        finally:
            connection.close()

    def start(name: str) -> Future[int]:
        begun = ThreadPoolExecutor(
            1, initializer=lambda: setattr(threading.current_thread(), "name", name)
        ).submit(drain)
        assert working[name].wait(60)
        return begun

    handle(work)
    with tenancy.system("test"):
        put(created=1), put(created=2)
        slow = start("slow")
        WebhookLease.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        second = start("second")
        [held] = WebhookLease.objects.all()
        may_end["slow"].set()
        assert slow.result(60) == 1
        [still] = WebhookLease.objects.all()
        assert (still.leased_by, still.leased_until) == (held.leased_by, held.leased_until)
        assert inbox.process_queue("cus_1") == 0
        may_end["second"].set()
        assert second.result(60) == 2
        assert not WebhookLease.objects.exists() and not inbox.pending(["cus_1"])
    assert seen == ["slow 01", "second 01", "second 02"]


# --- The fence


def test_an_older_fetch_is_not_applied_after_a_newer_one(system_scope: None) -> None:
    first, second = fencing.next_token(), fencing.next_token()
    assert first < second
    assert fencing.accept("sub_1", second)
    assert not fencing.accept("sub_1", first)
    assert not fencing.accept("sub_1", second)


@hypothesis_settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(order=st.permutations(range(6)))
def test_whatever_the_order_the_newest_fetch_stays(system_scope: None, order: list[int]) -> None:
    name = f"obj_{uuid7().hex}"
    numbers = [fencing.next_token() for _ in range(6)]
    applied = [position for position in order if fencing.accept(name, numbers[position])]
    assert applied[-1] == 5
    assert applied == sorted(applied)


# --- While Stripe does not answer


@pytest.mark.usefixtures("impatient")
def test_stripe_down_leaves_the_event_to_be_tried_again(customer: Customer) -> None:
    customer.pay(customer.visit("pro", "month").url)
    customer.sandbox.fault("error_500", path="/v1/subscriptions", times=100)
    inbox.RecentEvents(customer.account.stripe_customer_id).fetch()
    inbox.process_queue(customer.account.stripe_customer_id)
    assert customer.subscription is None
    waiting = WebhookEvent.objects.filter(state="pending", partition_key=customer.account.stripe_customer_id)
    assert waiting.exists() and all("Unavailable" in each.last_error for each in waiting)
    customer.sandbox.mend()
    waiting.update(due_at=timezone.now())
    customer.settle()
    assert customer.subscription.status == "active"


def test_two_days_without_stripe_s_api_kill_no_event(customer: Customer, impatient: None) -> None:
    """B1: everything was dead after 68 minutes, and nothing brought it back."""
    page = customer.visit("pro")
    customer.pay(page.url)
    customer_id = customer.account.stripe_customer_id
    inbox.RecentEvents(customer_id).fetch()
    customer.sandbox.fault("error_500", path="/v1/", method="GET", times=100_000)
    for _ in range(30):
        WebhookEvent.objects.filter(state="pending").update(due_at=timezone.now())
        inbox.process_queue(customer_id)
    assert not WebhookEvent.objects.filter(state="dead").exists()
    waiting = WebhookEvent.objects.filter(partition_key=customer_id, state="pending")
    assert waiting.exists() and customer.account.plan.slug == "free"
    waiting.update(received_at=timezone.now() - timedelta(hours=2))
    assert [measure.queue.name for measure in backlogs.late()] == ["stripe_events_late"]
    assert backlogs.alarm() == waiting.count()
    customer.sandbox.mend()
    waiting.update(due_at=timezone.now())
    customer.settle()
    assert customer.account.plan.slug == "pro"
    assert backlogs.late() == []


def test_a_key_of_ours_that_is_refused_is_asked_with_again_and_alarms(
    customer: Customer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    customer.pay(customer.visit("pro").url)
    customer_id = customer.account.stripe_customer_id
    inbox.RecentEvents(customer_id).fetch()
    with monkeypatch.context() as patch:
        patch.setattr("django.conf.settings.STRIPE_SECRET_KEY", "sk_test_no")
        client._client.cache_clear()
        inbox.process_queue(customer_id)
    client._client.cache_clear()
    assert not WebhookEvent.objects.filter(state="dead").exists()
    assert "stripe_refuses_our_key" in caplog.text
    WebhookEvent.objects.filter(state="pending").update(due_at=timezone.now())
    customer.settle()
    assert customer.account.plan.slug == "pro"
