"""What is deleted when: the list in docs/operations is true, and what waits is found without reading all the rest."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from billing import tasks as billing_tasks
from billing.models import Order, WebhookEvent
from billing.stripe import inbox
from superagent import schedule
from superagent.foundation import outbox, retention, tenancy
from superagent.foundation import tasks as foundation_tasks
from superagent.foundation.identifiers import first_at
from superagent.foundation.models import OutboxMessage
from superagent.operations import backlogs

PAGE = Path(__file__).parents[1] / "docs" / "operations" / "README.md"
SECTION = PAGE.read_text().partition("## What is deleted when\n")[2].partition("\n## ")[0]
DELETED, _, KEPT = SECTION.partition("Kept permanently")
# Written by Django, the libraries and the schedule in numbers that do not grow.
FEW = {"auth", "contenttypes", "django_celery_beat", "djstripe"}
NOW = timezone.now()


# --- The list ---------------------------------------------------------------------------------------------------------


def named(text: str) -> set[str]:
    return set(re.findall(r"`(\w+\.[A-Z]\w+)`", text))


def test_every_table_is_in_the_list_once() -> None:
    """Whoever adds a table says how long its rows stay."""
    tables = {
        model._meta.label
        for model in apps.get_models()
        if model._meta.app_label not in FEW and not model._meta.proxy
    }
    assert DELETED and KEPT
    assert named(DELETED) | named(KEPT) == tables
    assert not named(DELETED) & named(KEPT)


def test_what_is_deleted_is_deleted_by_a_job_of_the_schedule() -> None:
    jobs = set(re.findall(r"\| \*([^|*]+)\* \|$", DELETED, re.MULTILINE))
    entries = {entry.name for entry in schedule.ENTRIES}
    assert jobs <= entries, jobs - entries
    forgetting = {name for name in entries if "forget" in name or "partitions" in name}
    assert forgetting <= jobs, forgetting - jobs


@pytest.mark.parametrize(
    ("table", "days"),
    [("foundation.OutboxMessage", outbox.DONE_KEPT_FOR.days), ("billing.WebhookEvent", inbox.KEPT_FOR.days)],
)
def test_the_list_says_how_long(table: str, days: int) -> None:
    [row] = [line for line in DELETED.splitlines() if f"`{table}`" in line]
    assert f"{days} days" in row


# --- The jobs ---------------------------------------------------------------------------------------------------------


def message(state: str, *, days: int, **fields: Any) -> OutboxMessage:
    then = NOW - timedelta(days=days)
    return OutboxMessage.objects.create(
        topic="tests.topic", state=state, payload={"to": "ada@example.com"}, last_error="once", created_at=then,
        finished_at=then if state != "pending" else None, **fields,
    )  # fmt: skip


@pytest.mark.usefixtures("system_scope")
def test_messages_that_are_done_are_deleted_and_their_keys_stay() -> None:
    kept = [
        message("pending", days=400), message("dead", days=400), message("dismissed", days=400),
        message("done", days=29), message("done", days=29, dedupe_key="lately"),
    ]  # fmt: skip
    gone = message("done", days=31)
    keyed = message("done", days=31, dedupe_key="once, ever")
    assert foundation_tasks.forget_done_messages() == 2
    assert foundation_tasks.forget_done_messages() == 0
    assert not OutboxMessage.objects.filter(pk=gone.pk).exists()
    keyed.refresh_from_db()
    assert (keyed.state, keyed.payload, keyed.last_error) == ("forgotten", {}, "")
    for row in kept:
        assert OutboxMessage.objects.filter(pk=row.pk, state=row.state, payload=row.payload).exists()
    outbox.enqueue(topic="tests.topic", payload={"n": 2}, dedupe_key="once, ever")
    assert OutboxMessage.objects.filter(dedupe_key="once, ever").count() == 1
    outbox.deliver(keyed.pk)  # a worker that was told long ago
    keyed.refresh_from_db()
    assert keyed.state == "forgotten" and keyed.attempts == 0
    assert not outbox.replay(keyed) and not outbox.dismiss(keyed)


def event(name: str, state: str, *, days: int) -> WebhookEvent:
    then = NOW - timedelta(days=days)
    low_bits = WebhookEvent().pk.int & (1 << 80) - 1
    return WebhookEvent.objects.create(
        pk=UUID(int=first_at(then).int | low_bits), stripe_id=name, type="invoice.paid", partition_key="cus_1",
        livemode=False, api_version="x", payload={"id": name}, state=state, created_at=then, received_at=then,
    )  # fmt: skip


@pytest.mark.usefixtures("system_scope")
def test_settled_events_are_deleted_when_stripe_cannot_send_them_again() -> None:
    kept = [event(f"{state}{days}", state, days=days) for state in ("pending", "dead") for days in (1, 400)]
    kept += [event(f"{state}44", state, days=44) for state in ("done", "ignored")]
    for state in ("done", "ignored"):
        event(f"{state}46", state, days=46)
    assert billing_tasks.forget_webhooks() == 2
    assert billing_tasks.forget_webhooks() == 0
    assert set(WebhookEvent.objects.values_list("stripe_id", flat=True)) == {row.stripe_id for row in kept}
    # Stripe lists events for 30 days and tries a delivery again for three: what still comes is known.
    again = {
        "id": "done44", "type": "invoice.paid", "created": 0, "livemode": False, "data": {"object": {"id": "in_1"}}
    }  # fmt: skip
    assert inbox.store([again]) == 0


@pytest.mark.usefixtures("system_scope")
def test_many_are_deleted_a_few_at_a_time_and_time_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    for _ in range(25):
        message("done", days=31)
        message("done", days=31, dedupe_key=f"key {WebhookEvent().pk}")
    with CountedDeletes() as deletes:
        assert foundation_tasks.forget_done_messages() == 50
    assert deletes.sizes == [10, 10, 5, 10, 10, 5]
    message("done", days=31)
    monkeypatch.setattr(retention, "LONGEST_SECONDS", -1)
    assert foundation_tasks.forget_done_messages() == 0  # the next run goes on


class CountedDeletes:
    """How many rows each statement that deletes or empties touches."""

    def __enter__(self) -> CountedDeletes:
        self.sizes: list[int] = []
        self._wrapper = connection.execute_wrapper(self._note)
        self._wrapper.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._wrapper.__exit__(*error)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if re.search(r"\b(DELETE FROM|UPDATE)\b", sql):
            self.sizes.append(context["cursor"].rowcount)
        return result


@pytest.mark.django_db(transaction=True)
def test_a_message_that_is_being_revived_is_not_deleted() -> None:
    """Who deletes looks once more: between choosing and deleting, a row may have become something else."""
    with tenancy.system("test"):
        rows = [message("done", days=31) for _ in range(2)]
        old = OutboxMessage.objects.filter(state="done").order_by("finished_at")
        chosen: QuerySet[OutboxMessage] = old.filter(pk__in=[row.pk for row in rows])
        with transaction.atomic():
            OutboxMessage.objects.filter(pk=rows[0].pk).update(state="pending")
        assert retention.delete(chosen) == 1
        assert OutboxMessage.objects.get().pk == rows[0].pk


# --- What waits is found without reading what was done ----------------------------------------------------------------


def rows_read(queryset: QuerySet[Any]) -> int:
    """How many rows a plan looks at, those that a filter throws away included."""
    plan = queryset.explain(format="json", analyze=True)

    def looked_at(node: dict[str, Any]) -> int:
        own = 0
        if "Scan" in node["Node Type"]:
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            own = (node["Actual Rows"] + removed) * node["Actual Loops"]
        return int(own) + sum(looked_at(child) for child in node.get("Plans", []))

    [found] = json.loads(plan) if isinstance(plan, str) else plan
    return looked_at(found["Plan"])


def fill(model: type[Model], count: int, **fields: Any) -> None:
    model._default_manager.bulk_create([model(**fields) for _ in range(count)], batch_size=2_000)


@pytest.mark.usefixtures("system_scope")
def test_measuring_what_waits_does_not_read_what_was_done(organization: Any) -> None:
    """/metrics, /health and the admin's first page ask this all day."""
    many = 6_000
    then = datetime(2026, 1, 1, tzinfo=UTC)
    fill(OutboxMessage, many, topic="t", state="done", finished_at=then, first_sent_at=then)
    fill(OutboxMessage, many, topic="t", due_at=NOW + timedelta(days=9))  # a thrown switch
    for state in ("done", "ignored"):
        rows = [
            WebhookEvent(
                stripe_id=f"{state}{number}", type="t", partition_key="l", livemode=False, api_version="x", payload={},
                state=state, created_at=then, received_at=then,
            )
            for number in range(many // 2)
        ]  # fmt: skip
        WebhookEvent.objects.bulk_create(rows)
    fill(Order, many, organization=organization, status="paid", payment="checkout", total=1, currency="usd")
    with connection.cursor() as cursor:
        for table in ("foundation_outboxmessage", "billing_webhookevent", "billing_order"):
            cursor.execute(f"ANALYZE {table}")
    for queue in backlogs.QUEUES:
        assert rows_read(queue.waiting().order_by()) < 100, queue.name
    for job in (
        OutboxMessage.objects.filter(state="done", finished_at__lt=then).order_by("finished_at"),
        WebhookEvent.objects.filter(state="done", pk__lt=first_at(then)).order_by("pk"),
        Order.objects.filter(status="pending", payment="checkout", created_at__lt=NOW),
    ):
        assert rows_read(job) < 100, job.query
