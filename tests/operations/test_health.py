"""Health: alive, ready, and which part is missing."""

import shutil
import threading
from datetime import timedelta

import pytest
import redis
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from billing.stripe import patience
from metering.models import SpoolCheckpoint
from metering.request_path import quarantine, spool
from superagent.foundation import outbox, redis_client, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.operations import backlogs, health
from tests.fixtures.metrics import gauge


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


def parts(response) -> dict[str, str]:
    return {name: part["status"] for name, part in response.json()["parts"].items()}


def test_alive_needs_nothing(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}


def test_ready_tells_what_is_missing(client: Client, db: None, monkeypatch) -> None:
    monkeypatch.setattr(health, "_memory", {})
    monkeypatch.setattr(health, "_can_connect", lambda url: False)
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert parts(response) == {
        "database": "ok",
        "redis": "ok",
        "worker": "failed",
        "payments": "failed",
        "beat": "failed",
        "metering": "ok",
        "work": "ok",
        "sandbox": "failed",
    }
    assert "no-cache" in response["Cache-Control"]


def test_processes_that_gave_a_sign_are_well(client: Client, db: None, monkeypatch) -> None:
    monkeypatch.setattr(health, "_signed_at", {})
    monkeypatch.setattr(health, "_can_connect", lambda url: True)
    monkeypatch.setattr(health, "_memory", {})
    patience.breaker.reset()  # another test may have asked a Stripe that was not there
    for name in ("worker", "beat", health.TASK, health.PAYMENTS):
        health.heartbeat(name)
    response = client.get("/health/ready")
    assert set(parts(response).values()) == {"ok"}, response.json()
    assert response.json()["status"] == "ok"


def test_a_lost_redis_degrades_and_a_lost_database_fails(client: Client, db: None, monkeypatch) -> None:
    lost = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(redis_client, "connection", lambda: lost)
    response = client.get("/health/ready")
    assert (response.status_code, parts(response)["redis"]) == (200, "failed")

    def refuse() -> None:
        raise DatabaseError("connection refused: password=hunter2")

    monkeypatch.setattr(health, "_database_probe", health.Probe(refuse))
    response = client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "failed")
    assert "hunter2" not in response.content.decode()


def test_a_database_that_hangs_holds_up_neither_the_answer_nor_more_than_one_thread(
    client: Client, db: None, monkeypatch
) -> None:
    asked, is_over = [], threading.Event()

    def hang() -> None:
        asked.append(1)
        is_over.wait(60)

    monkeypatch.setattr(health, "_database_probe", health.Probe(hang))
    monkeypatch.setattr(health, "DATABASE_SECONDS", 0.05)
    try:
        answers = [client.get("/health/ready").json()["parts"]["database"]["status"] for _ in range(5)]
    finally:
        is_over.set()
    assert answers == ["failed"] * 5
    assert len(asked) == 1


def test_a_worker_whose_processes_finish_nothing_is_not_well(client: Client, db: None, monkeypatch) -> None:
    monkeypatch.setattr(health, "_signed_at", {})
    for name in ("worker", "beat"):
        health.heartbeat(name)
    worker = client.get("/health/ready").json()["parts"]["worker"]
    assert worker == {"status": "failed", "detail": "no task was finished for 90 s"}
    health.heartbeat(health.TASK)
    assert client.get("/health/ready").json()["parts"]["worker"]["status"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_work_that_is_tried_in_vain_for_an_hour_is_told(client: Client, monkeypatch) -> None:
    """B1: by health, metrics and the backlogs of the admin, while it goes on being tried."""
    monkeypatch.setattr(health, "_memory", {})
    assert parts(client.get("/health/ready"))["work"] == "ok"
    with tenancy.system("test"):
        outbox.enqueue(topic="test.nothing", payload={})
        OutboxMessage.objects.update(
            first_sent_at=timezone.now() - timedelta(hours=2), due_at=timezone.now() + timedelta(minutes=9)
        )
        assert backlogs.alarm() == 1
        [late] = [measure for measure in backlogs.measure_all() if measure.is_stuck]
    assert late.queue.name == "outbox_late"
    monkeypatch.setattr(health, "_memory", {})
    assert client.get("/health/ready").json()["parts"]["work"] == {
        "status": "failed",
        "detail": "outbox_late 1",
    }
    assert gauge(client.get("/metrics").content.decode(), "superagent_queue_length", "outbox_late") == 1


def test_a_stripe_that_hangs_is_told(client: Client, db: None, monkeypatch) -> None:
    """It accepts connections, and yet nothing can be paid."""
    monkeypatch.setattr(health, "_memory", {})
    monkeypatch.setattr(health, "_can_connect", lambda url: True)
    monkeypatch.setattr(patience, "breaker", patience.StripeBreaker())
    for _ in range(patience.FAILURES):
        patience.breaker.timed_out()
    told = client.get("/health/ready").json()["parts"]["sandbox"]
    assert told == {"status": "failed", "detail": "does not answer: payments wait"}
    monkeypatch.setattr(patience, "breaker", other := patience.StripeBreaker())  # another process
    assert parts(client.get("/health/ready"))["sandbox"] == "failed"
    other.reset()
    assert parts(client.get("/health/ready"))["sandbox"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_use_that_is_answered_but_not_recorded_is_told(client: Client, monkeypatch) -> None:
    """By health, metrics and the backlogs of the admin, on whichever host it lies."""
    monkeypatch.setattr(health, "_memory", {})
    with tenancy.system("test"):
        quarantine.keep(segment="host-1.spool", offset=0, content=b"torn", reason="not a line")
        SpoolCheckpoint.objects.create(
            segment="host-2.spool", failed_at=timezone.now(), failure="no such column"
        )
        away = SpoolCheckpoint.objects.create(segment="host-3.spool")
        SpoolCheckpoint.objects.filter(pk=away.pk).update(updated_at=timezone.now() - timedelta(hours=1))
        stuck = [measure.queue.name for measure in backlogs.measure_all() if measure.is_stuck]
    assert stuck == ["spool_quarantine", "spool_failing", "spool_silent"]
    response = client.get("/health/ready").json()
    assert (response["status"], response["parts"]["metering"]["status"]) == ("degraded", "failed")
    text = client.get("/metrics").content.decode()
    for queue in stuck:
        assert gauge(text, "superagent_queue_length", queue) == 1
    for name in (
        "superagent_spool_writable 1.0",
        "superagent_spool_oldest_seconds 0.0",
        "superagent_spool_refused",
    ):
        assert name in text
