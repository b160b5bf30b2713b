"""Logs and error reports: one line for each request, and never a secret."""

import json
import shutil

import pytest
import sentry_sdk
import structlog
from django.conf import settings
from django.test import Client, RequestFactory

from metering.request_path import spool
from superagent.operations import logs, metrics


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


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
