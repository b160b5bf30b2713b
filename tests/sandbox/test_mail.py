"""Postmark's wire and the mail pages."""

import uuid
from typing import Any

import httpx
import pytest

TOKEN = {"X-Postmark-Server-Token": "sandbox"}


def message(**changes: Any) -> dict[str, Any]:
    return {
        "From": "SuperAgent <hello@example.com>",
        "To": "Ada <ada@example.com>",
        "Subject": "Welcome",
        "TextBody": "Hello",
        "HtmlBody": "<p>Hello</p><script>bad()</script>",
        "MessageStream": "outbound",
        **changes,
    }


def test_mail_is_kept_and_shown(browser: httpx.Client) -> None:
    to = f"{uuid.uuid4()}@Example.com"
    for number in range(2):
        sent = browser.post(
            "/postmark/email", json=message(To=f"Ada <{to}>", Subject=f"No {number}"), headers=TOKEN
        )
        assert (sent.status_code, sent.json()["ErrorCode"], sent.json()["Message"]) == (200, 0, "OK")
        assert set(sent.json()) == {"To", "SubmittedAt", "MessageID", "ErrorCode", "Message"}
    found = browser.get("/_sandbox/mail.json", params={"to": to.lower()}).json()
    assert [item["subject"] for item in found] == ["No 1", "No 0"]
    assert found[0]["to"] == to
    assert {"to", "subject", "text", "html", "sent_at"} <= set(found[0])
    assert "No 1" in browser.get("/_sandbox/mail", params={"to": to}).text
    page = browser.get(f"/_sandbox/mail/{found[0]['id']}")
    assert "<iframe" in page.text and "sandbox" in page.text
    body = browser.get(f"/_sandbox/mail/{found[0]['id']}/html")
    assert "sandbox" in body.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": "nobody"}, 300),
        ({"TextBody": "", "HtmlBody": ""}, 300),
        ({"Sujet": "x"}, 402),
    ],
)
def test_bad_mail_is_refused(browser: httpx.Client, changes: dict[str, str], code: int) -> None:
    answer = browser.post("/postmark/email", json=message(**changes), headers=TOKEN)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (422, code)


def test_a_token_is_needed(browser: httpx.Client) -> None:
    answer = browser.post("/postmark/email", json=message())
    assert (answer.status_code, answer.json()["ErrorCode"]) == (401, 10)


def test_a_batch_answers_each_message(browser: httpx.Client) -> None:
    answer = browser.post("/postmark/email/batch", json=[message(), message(To="nobody")], headers=TOKEN)
    assert [item["ErrorCode"] for item in answer.json()] == [0, 300]


def test_the_index_links_to_everything(browser: httpx.Client) -> None:
    page = browser.get("/_sandbox/")
    assert page.status_code == 200
    for path in (
        "/_sandbox/mail",
        "/_sandbox/mail.json",
        "/_sandbox/stripe/deliveries.json",
        "/_sandbox/stripe/faults",
    ):
        assert f'href="{path}"' in page.text
        assert browser.get(path).status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
