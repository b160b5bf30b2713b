"""kill -9 of a real worker in the middle of a webhook and of the invoice job: nothing half done, nothing doubled.

The worker is a Celery process on this test's database and Redis; the sandbox is slow at the right moment. Leases are
run out by hand, so that the test does not wait for minutes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing import tasks
from billing.catalog import seed, sync
from billing.models import Invoice, OverageCharge, Payment, Subscription, WebhookEvent, WebhookLease
from billing.overage import charges
from billing.stripe import client, inbox
from metering.models import Quota, UsagePeriod
from superagent.celery import QUEUES
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.tasks import deliver_outbox_message
from tests.billing.conftest import Customer, Sandbox, make_customer, wait_for
from tests.fixtures import database

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.verify, pytest.mark.django_db(transaction=True)]


@contextmanager
def worker(sandbox: Sandbox) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker that does nothing but what this test sends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "superagent.celery", "worker", "--pool=prefork", "--concurrency=1",
         f"--queues={','.join(QUEUES)}", "--without-gossip", "--without-mingle", "--without-heartbeat",
         "--loglevel=ERROR"],
        cwd=ROOT,
        env={
            **database.process_environment(),
            "STRIPE_API_HOST": sandbox.url,
            "STRIPE_TIMEOUT_SECONDS": "60",
            "DJANGO_SETTINGS_MODULE": "superagent.settings",
        },
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the worker with its children, in no order that anybody could prepare for."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def buyer(transactional_db: None, stripe_at_sandbox: Sandbox) -> Iterator[Customer]:
    with tenancy.system("test"):
        seed.write()
        sync.push()
        yield make_customer(stripe_at_sandbox)


def run_out_leases() -> None:
    """What a minute would do."""
    WebhookLease.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    WebhookEvent.objects.filter(state="pending").update(due_at=timezone.now() - timedelta(seconds=1))
    OutboxMessage.objects.filter(state="pending").update(due_at=timezone.now() - timedelta(seconds=1))


def test_a_worker_killed_in_the_middle_of_a_webhook(buyer: Customer, sandbox: Sandbox) -> None:
    buyer.pay(buyer.visit("pro", "month").url)
    customer_id = buyer.account.stripe_customer_id
    inbox.RecentEvents(customer_id).fetch()
    sandbox.fault("slow", path="/v1/subscriptions", times=1, seconds=30)
    with worker(sandbox) as first:
        tasks.process_webhooks.apply_async(args=[customer_id])
        # The partition is leased and an event is being worked on: the worker waits for the slow answer.
        wait_for(
            lambda: WebhookEvent.objects.filter(
                partition_key=customer_id, state="pending", attempts=1
            ).exists(),
            60,
        )
        kill(first)
    assert not Subscription.objects.exists()
    assert WebhookEvent.objects.filter(partition_key=customer_id, state="pending").exists()
    sandbox.mend()
    run_out_leases()
    with worker(sandbox):
        tasks.sweep_webhooks.apply_async()
        wait_for(lambda: not inbox.pending([customer_id]), 90)
    assert Subscription.objects.get().status == "active"
    assert [invoice.total for invoice in Invoice.objects.all()] == [2900]
    assert [payment.amount for payment in Payment.objects.all()] == [2900]
    assert buyer.account.plan.slug == "pro"
    assert not WebhookEvent.objects.filter(state="dead").exists()


@pytest.mark.parametrize("kind", ["slow", "timeout_after"])
def test_a_worker_killed_in_the_middle_of_the_invoice_job(
    buyer: Customer, sandbox: Sandbox, kind: str
) -> None:
    """`slow`: killed before Stripe did it; `timeout_after`: Stripe has made the item, and nobody heard the answer."""
    buyer.buy("pro", "month")
    buyer.start_test_clock()
    period = UsagePeriod.objects.filter(organization=buyer.organization).latest("start")
    Quota.objects.filter(period=period, meter__slug="api_requests").update(used=60_000)
    charge = _at_the_draft(buyer)
    sandbox.fault(kind, path="/v1/invoiceitems", method="POST", times=1, seconds=30)
    OutboxMessage.objects.filter(topic=charges.PLACE).update(due_at=timezone.now(), attempts=0)
    message = OutboxMessage.objects.get(topic=charges.PLACE)
    with worker(sandbox) as first:
        tasks.collect_overage.apply_async()
        deliver_outbox_message.apply_async(args=[str(message.pk)])
        wait_for(lambda: OutboxMessage.objects.filter(pk=message.pk, attempts=1).exists(), 60)
        if kind == "timeout_after":
            wait_for(lambda: _items(buyer), 30)
        kill(first)
    charge.refresh_from_db()
    assert charge.status == "pending"
    sandbox.mend()
    run_out_leases()
    with worker(sandbox):
        tasks.collect_overage.apply_async()
        deliver_outbox_message.apply_async(args=[str(message.pk)])
        wait_for(lambda: OverageCharge.objects.filter(status="invoiced").exists(), 60)
    assert [item["amount"] for item in _items(buyer)] == [500]
    buyer.advance(buyer.subscription.current_period_start + timedelta(hours=3))
    renewal = Invoice.objects.get(billing_reason="subscription_cycle")
    assert (renewal.total, renewal.status) == (3400, "paid")
    assert charges.differences() == []


def _at_the_draft(buyer: Customer) -> OverageCharge:
    """The renewal's draft is there and the charge is written, but nothing was sent to Stripe."""
    end = buyer.subscription.current_period_end
    clock_id = buyer.account.test_clock_id
    client.call(
        "test_helpers.test_clocks.advance", clock_id, key=f"a:{clock_id}",
        params={"frozen_time": int(end.timestamp()) + 1},
    )  # fmt: skip
    wait_for(lambda: client.call("test_helpers.test_clocks.retrieve", clock_id)["status"] == "ready", 60)
    customer_id = buyer.account.stripe_customer_id
    inbox.RecentEvents(customer_id).fetch()
    inbox.process_queue(customer_id)
    return OverageCharge.objects.get(organization=buyer.organization)


def _items(buyer: Customer) -> list[dict[str, Any]]:
    found = client.listed("invoice_items.list", params={"customer": buyer.account.stripe_customer_id})
    return list(found)
