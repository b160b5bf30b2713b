"""A panel that verifies as docs/licensing.md says cannot be deceived by whoever answers in our place."""

import hashlib
import json
import time
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import Organization
from licensing import activations, issued_keys, keys, signing, validation
from licensing.models import License, LicenseFeature
from superagent.foundation import tenancy
from tests.licensing.panel import HEADER, Forged, Panel

ENDPOINTS = ("validate", "usage", "activate", "deactivate", "heartbeat")


@pytest.fixture
def panel(client: Client, db: None) -> Panel:
    return Panel(client)


@pytest.fixture
def used_up(license_: License) -> License:
    """10 of 10 databases are used, so that an honest answer to one more is no."""
    with tenancy.system("test"):
        LicenseFeature.objects.filter(license=license_, slug="databases").update(limit=10, used=10)
    return license_


@pytest.fixture
def good_key(organization: Organization, make_license) -> str:
    """The relay's own license, paid and with room."""
    return issued_keys.reveal(license_=make_license(organization, "nextpanel-business"), actor=None)


# --- A relay between panel and server


@pytest.mark.parametrize(
    "lie",
    [
        {"license_key": "GOOD"},
        {"license_key": "GOOD", "quantity": 1},
        {"license_key": "GOOD", "feature": "domains"},
        {"license_key": "GOOD", "fingerprint": "the relay's own server"},
        {"quantity": 1},
        {"feature": "domains"},
        {"fingerprint": "another"},
    ],
)
def test_a_relay_cannot_vouch_for_a_question_with_the_answer_to_another(
    panel: Panel, used_up: License, license_key: str, good_key: str, lie: dict[str, Any]
) -> None:
    question = panel.question(
        license_key=license_key, feature="databases", quantity=1000, fingerprint="server-1"
    )
    direct = panel.believe(question, panel.send("validate", question))
    assert (direct["valid"], direct["code"]) == (False, "LIMIT_REACHED")
    swapped = {name: good_key if value == "GOOD" else value for name, value in lie.items()}
    relayed = panel.send("validate", json.dumps(json.loads(question) | swapped).encode())
    assert relayed.status_code == 200
    with pytest.raises(Forged, match="another question"):
        panel.believe(question, relayed)


def test_a_relay_cannot_vouch_for_an_unknown_key(panel: Panel, good_key: str) -> None:
    question = panel.question(license_key=keys.generate("NP"))
    assert panel.believe(question, panel.send("validate", question))["code"] == "NOT_FOUND"
    relayed = panel.send("validate", json.dumps(json.loads(question) | {"license_key": good_key}).encode())
    assert relayed.json()["valid"] is True
    with pytest.raises(Forged, match="another question"):
        panel.believe(question, relayed)


def test_an_answer_is_not_believed_twice(panel: Panel, license_key: str) -> None:
    first = panel.question(license_key=license_key)
    answer = panel.send("validate", first)
    second = panel.question(license_key=license_key)
    with pytest.raises(InvalidSignature):
        panel.believe(second, answer)


def test_an_old_answer_is_not_believed(
    panel: Panel, license_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = panel.question(license_key=license_key)
    with monkeypatch.context() as earlier:
        hour_ago = time.time() - 3600
        earlier.setattr("licensing.signing.time.time", lambda: hour_ago)
        answer = panel.send("validate", question)
    with pytest.raises(Forged, match="too old"):
        panel.believe(question, answer)


def test_a_new_time_in_the_header_does_not_verify(panel: Panel, license_key: str) -> None:
    question = panel.question(license_key=license_key)
    answer = panel.send("validate", question)
    fields = dict(part.strip().split("=", 1) for part in answer[HEADER].split(","))
    answer[HEADER] = f"keyid={fields['keyid']}, ts={int(fields['ts']) + 1}, sig={fields['sig']}"
    with pytest.raises(InvalidSignature):
        panel.believe(question, answer)


def test_a_changed_answer_does_not_verify(panel: Panel, license_key: str) -> None:
    question = panel.question(license_key=license_key)
    answer = panel.send("validate", question)
    answer.content = answer.content.replace(b'"valid":true', b'"valid": 1')
    with pytest.raises(InvalidSignature):
        panel.believe(question, answer)


def test_the_answer_of_another_endpoint_is_not_believed(panel: Panel, license_key: str) -> None:
    question = panel.question(license_key=license_key, fingerprint="server-1")
    panel.send("activate", question)
    with pytest.raises(Forged, match="another endpoint"):
        panel.believe(question, panel.send("heartbeat", question), "activate")


# --- Every answer is signed and says what was asked


def test_the_answer_says_what_was_asked(panel: Panel, license_: License, license_key: str) -> None:
    body = panel.question(
        license_key=license_key.lower(), feature="create_database", quantity=3, fingerprint="server-1"
    )
    assert panel.believe(body, panel.send("validate", body))["asked"] == {
        "endpoint": "validate",
        "key_tail": license_.key_tail,
        "feature": "create_database",
        "quantity": 3,
        "fingerprint": "server-1",
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }


def test_what_was_not_asked_is_null(panel: Panel, license_key: str) -> None:
    asked = panel.ask(license_key=license_key)["asked"]
    assert (asked["feature"], asked["quantity"], asked["fingerprint"]) == (None, 1, None)
    assert panel.ask(license_key="no key")["asked"]["key_tail"] is None


@pytest.mark.parametrize("nonce", ["abc-123", None])
def test_answers_are_signed_with_a_nonce_and_without(
    panel: Panel, license_key: str, nonce: str | None
) -> None:
    for key in (license_key, keys.generate("NP"), "no key"):
        assert panel.ask(license_key=key, nonce=nonce)["nonce"] == nonce


def test_activating_a_server_reporting_use_and_leaving_are_signed(panel: Panel, license_key: str) -> None:
    server = {"license_key": license_key, "fingerprint": "server-1"}
    assert panel.ask("activate", **server, label="web-1")["label"] == "web-1"
    assert panel.ask("heartbeat", **server)["activations"] == 1
    report = {"license_key": license_key, "feature": "databases", "delta": 2, "idempotency_key": "a"}
    assert panel.ask("usage", **report)["used"] == 2
    assert panel.ask("deactivate", **server)["activations"] == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_question_that_lacks_fields_is_refused_and_signed(panel: Panel, endpoint: str) -> None:
    body = panel.question()
    response = panel.send(endpoint, body)
    assert response.status_code == 400
    answer = panel.believe(body, response, endpoint)
    assert (answer["code"], answer["errors"][0]["pointer"]) == ("invalid", "/license_key")
    assert answer["asked"]["key_tail"] is None


@pytest.mark.parametrize("endpoint", ENDPOINTS[1:])
def test_an_unknown_key_is_refused_and_signed(panel: Panel, endpoint: str) -> None:
    fields = {"license_key": keys.generate("NP"), "fingerprint": "a"}
    if endpoint == "usage":
        fields = {"license_key": fields["license_key"], "feature": "a", "delta": 1, "idempotency_key": "a"}
    body = panel.question(**fields)
    response = panel.send(endpoint, body)
    assert response.status_code == 404
    assert panel.believe(body, response, endpoint)["code"] == "NOT_FOUND"


def test_a_conflict_is_signed(panel: Panel, used_up: License, license_key: str) -> None:
    body = panel.question(license_key=license_key, feature="databases", delta=1, idempotency_key="a")
    response = panel.send("usage", body)
    assert (response.status_code, response["Content-Type"]) == (409, "application/problem+json")
    answer = panel.believe(body, response, "usage")
    assert (answer["code"], answer["remaining"]) == ("LIMIT_REACHED", 0)


def test_a_body_that_is_no_json_is_refused_and_signed(panel: Panel) -> None:
    response = panel.send("validate", b'{"nonce": "a"')
    assert response.status_code == 400
    response_to = json.dumps({}).encode()  # nothing could be read, so there is no nonce to sign
    with pytest.raises(Forged, match="another question"):
        panel.believe(response_to, response)
    assert response.json()["asked"]["body_sha256"] == hashlib.sha256(b'{"nonce": "a"').hexdigest()


def test_a_body_that_is_no_object_is_refused_and_signed(panel: Panel) -> None:
    response = panel.send("validate", b"[1]")
    assert response.status_code == 400
    assert response.json()["asked"]["body_sha256"] == hashlib.sha256(b"[1]").hexdigest()
    assert HEADER in response


def test_a_body_that_is_too_large_is_refused_and_signed(panel: Panel, settings) -> None:
    response = panel.send("validate", b" " * 17_000)
    assert (response.status_code, HEADER in response) == (413, True)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    unread = panel.send("validate", b" " * 17_000)
    assert (unread.status_code, unread.json()["asked"]["body_sha256"]) == (413, None)
    assert HEADER in unread


def test_the_wrong_method_and_type_are_refused_and_signed(panel: Panel) -> None:
    wrong_method = panel.client.get("/api/v1/licenses/validate")
    assert (wrong_method.status_code, HEADER in wrong_method) == (405, True)
    assert "POST" in wrong_method["Allow"]
    wrong_type = panel.client.post("/api/v1/licenses/validate", "a=1", content_type="text/plain")
    assert (wrong_type.status_code, HEADER in wrong_type) == (415, True)


def test_being_limited_is_signed(panel: Panel, license_key: str, settings) -> None:
    settings.LICENSE_QUESTIONS_PER_KEY = 1
    panel.ask(license_key=license_key)
    body = panel.question(license_key=license_key)
    response = panel.send("validate", body)
    assert response.status_code == 429
    answer = panel.believe(body, response)
    assert answer["code"] == "rate_limited"
    assert "valid" not in answer


def test_a_failure_of_ours_is_signed(panel: Panel, license_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(validation, "validate", fail)
    monkeypatch.setattr(activations, "heartbeat", fail)
    panel.client.raise_request_exception = False
    for endpoint, fields in (("validate", {}), ("heartbeat", {"fingerprint": "a"})):
        body = panel.question(license_key=license_key, **fields)
        response = panel.send(endpoint, body)
        assert response.status_code == 500
        assert panel.believe(body, response, endpoint)["code"] == "internal_error"


def test_answers_are_never_kept_by_caches(panel: Panel, license_key: str) -> None:
    body = panel.question(license_key=license_key)
    assert panel.send("validate", body)["Cache-Control"] == "no-store"
    assert panel.send("validate", b"{}")["Cache-Control"] == "no-store"


# --- The docs


def test_the_example_of_the_docs_works_as_printed(
    panel: Panel, license_key: str, good_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        (django_settings.BASE_DIR / "docs/licensing.md").read_text().split("```python\n")[1].split("```")[0]
    )
    relay: dict[str, str] = {}

    def post(url: str, content: bytes, headers: dict[str, str], timeout: int) -> Any:
        endpoint = url.removeprefix("https://panel.example.com/api/v1/licenses/")
        return panel.send(endpoint, json.dumps(json.loads(content) | relay).encode())

    example: dict[str, Any] = {"SERVER": "https://panel.example.com"}
    exec(code, example)
    example["PINNED"] |= panel.pinned
    monkeypatch.setattr("httpx.post", post)
    status, answer = example["ask"]("validate", license_key=license_key, feature="databases")
    assert (status, answer["code"]) == (200, "VALID")
    relay["license_key"] = good_key
    with pytest.raises(ValueError, match="not the answer"):
        example["ask"]("validate", license_key=license_key, feature="databases")


# --- Keys


def test_an_old_signing_key_stays_published(client: Client, license_key: str, settings) -> None:
    old, new = signing.new_seed(), signing.new_seed()
    settings.LICENSE_SIGNING_KEY = old
    panel = Panel(client)
    question = panel.question(license_key=license_key)
    earlier = panel.send("validate", question)
    settings.LICENSE_SIGNING_KEY = f"{new},{old}"
    assert Panel(client).believe(question, earlier)["valid"] is True
    published = client.get("/api/v1/licenses/public-keys").json()["data"]
    assert [key["is_signing"] for key in published] == [True, False]


def test_a_key_is_published_before_it_signs(client: Client, license_key: str, settings) -> None:
    """So that panels may pin keys: the release that knows the next one comes first."""
    present, upcoming = signing.new_seed(), signing.new_seed()
    settings.LICENSE_SIGNING_KEY = f"{present},{upcoming}"
    panel = Panel(client)
    settings.LICENSE_SIGNING_KEY = f"{upcoming},{present}"
    assert panel.ask(license_key=license_key)["valid"] is True
