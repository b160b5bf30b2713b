"""Health, metrics, errors and what strangers ask for."""

import html
import json
import os
import re
import shutil
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import sentry_sdk
import structlog
from django.conf import settings
from django.db import DatabaseError, OperationalError
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from billing.stripe import patience
from metering.models import SpoolCheckpoint
from metering.request_path import quarantine, spool
from superagent.foundation import outbox, redis_client, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.operations import backlogs, health, logs, metric_files, metrics


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


# --- Metrics ----------------------------------------------------------------------------------------------------------


def gauge(text: str, name: str, queue: str) -> float:
    return float(re.search(rf'^{name}{{queue="{queue}"}} (\S+)$', text, re.MULTILINE).group(1))


def test_metrics_measure_requests_and_queues(client: Client, db: None) -> None:
    with tenancy.system("test"):
        outbox.enqueue(topic="test.nothing", payload={})
    client.get(reverse("robots"))
    text = client.get("/metrics").content.decode()
    assert gauge(text, "superagent_queue_length", "outbox") == 1
    assert gauge(text, "superagent_queue_age_seconds", "outbox") >= 0
    assert re.search(r'superagent_request_seconds_count{method="GET",status="200",view="robots"} ', text)
    assert {queue.name for queue in backlogs.QUEUES} == set(
        re.findall(r'^superagent_queue_length{queue="(\w+)"}', text, re.MULTILINE)
    )


def test_counts_do_not_fall_when_processes_are_forgotten(
    client: Client, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations D8: Prometheus took the fall for a restart, and what was left for new: alarms of nothing."""
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(tmp_path))
    name = "superagent_requests_unrecorded"
    key = mmap_key(name, f"{name}_total", [], [], "Requests that nobody bills")
    ended = [subprocess.Popen(["true"]) for _ in range(2)]
    for process in ended:
        process.wait()
    long_ago = time.time() - metric_files.STALE_SECONDS - 60
    for pid, count in ((ended[0].pid, 3), (ended[1].pid, 4), (os.getpid(), 5)):
        file = tmp_path / f"counter_{pid}.db"
        values = MmapedDict(str(file))
        values.write_value(key, count, 0)
        values.close()
        os.utime(file, (long_ago, long_ago))
    for _ in range(3):
        assert f"{name}_total 12.0" in client.get("/metrics").content.decode()
    assert {file.name for file in tmp_path.glob("*.db")} == {f"counter_{os.getpid()}.db"}


def test_metrics_are_for_this_machine_or_for_bearers(client: Client, db: None, settings) -> None:
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    settings.METRICS_TOKEN = "right"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    allowed = client.get("/metrics", headers={"Authorization": "Bearer right"}, REMOTE_ADDR="203.0.113.9")
    assert allowed.status_code == 200


# --- Errors -----------------------------------------------------------------------------------------------------------


def test_unknown_addresses_answer_in_the_readers_language(client: Client, db: None) -> None:
    page = client.get("/nothing/here/")
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    answer = client.get("/api/v1/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer["X-Request-Id"]


def test_a_page_is_found_without_its_closing_slash(client: Client, db: None) -> None:
    response = client.get("/licenses?x=1")
    assert (response.status_code, response["Location"]) == (301, "/licenses/?x=1")


@pytest.mark.parametrize("address", ["/api/v1/licenses/public-keys", "/"])
def test_a_lost_database_is_503_and_asks_for_another_try(
    client: Client, db: None, monkeypatch, address: str
) -> None:
    from billing.catalog import pricing
    from licensing import signing

    def fail() -> None:
        raise OperationalError("connection to server failed")

    monkeypatch.setattr(signing, "public_keys", fail)
    monkeypatch.setattr(pricing, "plan_offers", fail)
    client.raise_request_exception = False
    response = client.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    if address.startswith("/api/"):
        assert response.json()["code"] == "temporarily_unavailable"
    else:
        assert "We can't answer right now" in html.unescape(response.content.decode())


def test_a_failure_tells_the_request_id_and_nothing_else(db: None, monkeypatch) -> None:
    from licensing import signing

    def fail() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(signing, "public_keys", fail)
    response = Client(raise_request_exception=False).get("/api/v1/licenses/public-keys")
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert response.json()["code"] == "internal_error"
    assert "secret detail" not in response.content.decode()


# --- Strangers --------------------------------------------------------------------------------------------------------


def test_robots_and_security_contact(client: Client, settings) -> None:
    settings.SECURITY_CONTACT = "security@superagent.example"
    assert "Disallow: /admin/" in client.get("/robots.txt").content.decode()
    text = client.get("/.well-known/security.txt").content.decode()
    assert "Contact: mailto:security@superagent.example" in text
    assert re.search(r"^Expires: \d{4}-01-01T00:00:00Z$", text, re.MULTILINE)
    assert client.get("/favicon.ico")["Location"].endswith("/img/favicon.svg")


def test_the_style_guide_is_for_developers(client: Client, db: None, settings) -> None:
    assert client.get("/_styleguide/").status_code == 404
    settings.DEBUG = True
    assert client.get("/_styleguide/").status_code == 200


def test_the_landing_page_shows_what_is_on_sale(client: Client, db: None) -> None:
    from billing.catalog import seed

    with tenancy.system("test"):
        seed.write()
    html = client.get("/").content.decode()
    for text in ("Pro", "$29", "Enterprise", "$299", "NextPanel Professional", "$19"):
        assert text in html
    assert client.get("/?interval=year").status_code == 200


# --- Logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "sa_live_0123456789abcdef0123456789abcdef0123456789a",
        "key sk_test_51Habcdefghijkl",
        "Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl",
        "NP-M0STF-5YMJS-8XA5J-1FV01-RPXAY",
        "postgres://app_web:hunter2hunter2@db.internal/superagent",
        "https://app/?password=hunter2hunter2&x=1",
    ],
)
def test_secrets_do_not_reach_the_log(text: str) -> None:
    shown = logs.scrubbed({"event": f"failed: {text}", "nested": [{"detail": text}]})
    for secret in ("0123456789abcdef", "51Habcdefghijkl", "eyJhbGciOi", "M0STF", "hunter2"):
        assert secret not in json.dumps(shown)
    assert logs.scrubbed({"password": "x", "license_key": "y", "count": 3}) == {
        "password": "[redacted]",
        "license_key": "[redacted]",
        "count": 3,
    }


def test_each_request_is_one_line_without_its_secrets(client: Client, db: None, settings, capsys) -> None:
    settings.ACCESS_LOG = True
    client.get("/robots.txt?token=hunter2", headers={"X-Request-Id": "from-the-caller"})
    line = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert (line["path"], line["status"], line["request_id"]) == ("/robots.txt", 200, "from-the-caller")
    client.get("/accounts/password/reset/key/1-set-hunter2/")
    assert "hunter2" not in capsys.readouterr().err


def test_a_report_to_the_error_tracker_is_scrubbed() -> None:
    event = {"exception": {"values": [{"stacktrace": {"frames": [{"vars": {"password": "hunter2"}}]}}]}}
    assert "hunter2" not in json.dumps(logs.scrub_report(event, {}))


def test_reports_hold_no_bodies_and_name_the_request(monkeypatch) -> None:
    """Variables of frames hold the body of a request, whatever is scrubbed by name."""
    reports = []
    logs.report_errors(dsn="http://key@127.0.0.1:9/1", environment="test", traces_share=0)
    client = sentry_sdk.get_client()
    monkeypatch.setattr(
        client.transport, "capture_envelope", lambda envelope: reports.append(envelope.get_event())
    )
    try:
        with structlog.contextvars.bound_contextvars(request_id="from-the-caller"):
            body = " ".join(["body", "of", "a", "webhook"])  # in a variable, not in the source that is shown
            try:
                raise RuntimeError(len(body))
            except RuntimeError as error:
                sentry_sdk.capture_exception(error)
    finally:
        sentry_sdk.init()  # off again
    [report] = reports
    assert report["tags"]["request_id"] == "from-the-caller"
    assert report["exception"]["values"][0]["stacktrace"]["frames"]
    assert "body of a webhook" not in json.dumps(report, default=str)


def test_request_factory_requests_without_a_match_are_counted_as_unknown() -> None:
    from superagent.operations import metrics

    request = RequestFactory().generic("BREW", "/")
    metrics.observe_request(request.method, "unknown", 405, 0.001)
    assert ("OTHER", "unknown", 405) in metrics._children


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/password/reset/key/1a-d2x-secret/",
        "/accounts/confirm-email/MQ:1abc:secret/",
        "/invitations/01a1f896-cfd0-7de5-9b83-4571a2ba46ab:secret/",
    ],
)
def test_links_of_mails_are_not_told(path: str) -> None:
    assert "secret" not in logs.scrubbed(f"Forbidden: {path}")
