"""Bad input on every operation of the OpenAPI schema: a problem document that names the field, never a 500."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys, tokens
from accounts.models import Organization
from accounts.roles import Scope
from superagent.foundation import tenancy
from superagent.foundation.json_bodies import MAX_DEPTH
from superagent.foundation.problems import MAX_BODY_BYTES
from tests.accounts.conftest import founded, person
from tests.fixtures.samples import part, sampled

pytestmark = pytest.mark.django_db

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
DEEP_ENOUGH = b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)
BODIES = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"[1]", "application/json"),
    (b"5", "application/json"),
    (b"null", "application/json"),
    (b'"text"', "application/json"),
    (b'{"quantity": NaN}', "application/json"),
    (b'{"quantity": ' + b"9" * 5000 + b"}", "application/json"),
    (b'{"a": "\xff\xfe"}', "application/json"),
    (b'{"idempotency_key": "\\u0000"}', "application/json"),
    (b'{"idempotency_key": "\\ud800"}', "application/json"),
    (b'{"plan": "\\u0000", "name": "\\ud800", "items": [{"product": "\\u0000"}]}', "application/json"),
    (DEEP, "application/json"),
    (DEEP_ENOUGH, "application/json"),
    (b"[" * 5000, "application/json"),
    (b"{}", "application/json; charset=zlib"),
    (b"{}", "application/json; charset=utf-16"),
    (b"a=b", "application/x-www-form-urlencoded"),
    (b"<a/>", "text/xml"),
    (b"{}", ""),
]  # fmt: skip
STRANGE = [
    "", " ", "\0", "a\0b", "\ud83d", "é", "％", "x" * 5000,
    "9" * 30, "-1", "1e9999", "NaN", "Infinity", "0x10", "１", "1_0", "99999999999999999999", "-9223372036854775809",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+15:59", "9999-12-31T23:59:59-15:59",
    "2026-11-21T00:00:00+16:00", "2026-11-21T00:00:00-23:59", "2026-11-21T00:00:00+24:00",
    "2026-11-21T00:00:00+00:00:30", "2026-11-21", "2026-02-30T00:00:00Z", "2026-11-21T00:00:60Z",
    "2026-11-21T24:00:00Z", "10000-01-01T00:00:00Z", "2026-W47-6",
    "infinity", "now", "true", "null", "[]", "{}", "a,b", "id,,", "..", "%", "'; --",
]  # fmt: skip
CURSORS = [base64.b64encode(text).decode() for text in (b"p=abc", b"p=\0", b"o=-1", b"r=x")]


class Caller:
    """An owner of an organization, by access token for what takes no API key."""

    def __init__(self, organization: Organization, token: str, key: str) -> None:
        self.organization, self.token, self.key = organization, token, key

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        takes_no_key = "/auth/" in path or "users/me" in path or path.partition("?")[0].endswith("/accept")
        takes_no_key |= "/organizations" in path and method != "GET"
        headers = {"Authorization": f"Bearer {self.token if takes_no_key else self.key}"} | headers
        return Client(raise_request_exception=False).generic(
            method, path, body, content_type=content_type, headers=headers
        )


@pytest.fixture
def caller(db: None, settings: Any) -> Caller:
    settings.THROTTLES = dict.fromkeys(settings.THROTTLES, (10_000, 60))
    owner = person("ada@acme.example")
    organization = founded("Acme", owner)
    with tenancy.tenant(organization):
        _key, plain_text = api_keys.create(
            organization=organization,
            name="all",
            scopes=list(Scope),
            created_by=owner,
            expires_at=None,
            now=timezone.now(),
        )
    pair = tokens.log_in(user=owner, ip_address=None, user_agent="", now=timezone.now())
    return Caller(organization, pair.access_token, plain_text)


def operations(
    schema: dict[str, Any], organization: Organization
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for template, methods in schema["paths"].items():
        path = template.replace("{organization_id}", str(organization.pk)).replace("{event_id}", "ev1")
        path = re.sub(r"\{\w+\}", lambda _: str(uuid4()), path)
        for method, operation in methods.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield method.upper(), path, operation


@pytest.fixture
def schema() -> dict[str, Any]:
    return json.loads(Client().get("/api/schema/", headers={"Accept": "application/json"}).content)


def check(answer: Any) -> None:
    """RFC 9457 with our members, for whatever is no success."""
    request = answer.request
    said = f"{request['REQUEST_METHOD']} {request['PATH_INFO']}?{request['QUERY_STRING']}: {answer.content[:300]!r}"
    assert answer.status_code < 500 or answer.status_code == 503, said
    assert answer.headers["X-Request-Id"]
    if answer.status_code < 400:
        return
    assert answer.headers["Content-Type"] == "application/problem+json", said
    problem = json.loads(answer.content)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= problem.keys(), said
    assert problem["status"] == answer.status_code, said
    assert problem["request_id"] == answer.headers["X-Request-Id"], said
    assert problem["detail"] and problem["title"], said
    if problem["code"] == "invalid":
        assert problem["errors"], said
    for error in problem.get("errors", []):
        assert error.keys() == {"pointer", "code", "detail"}, said


@sampled(3)
def test_bodies(caller: Caller, schema: dict[str, Any], step: int):
    for turn, (method, path, operation) in enumerate(operations(schema, caller.organization)):
        if "requestBody" not in operation:
            continue
        for body, content_type in part(BODIES, step=step, turn=turn):
            answer = caller(method, path, body, content_type)
            check(answer)
            if content_type in ("application/x-www-form-urlencoded", "text/xml"):
                assert answer.status_code in (404, 415), path


@sampled(3)
def test_every_field_of_every_body(caller: Caller, schema: dict[str, Any], step: int):
    """Each field gets every third of what is strange, beginning at another one each time and on each path."""
    strange: list[Any] = [
        "a\0b",
        "\ud800",
        12,
        2**64,
        -(2**70),
        1.5,
        None,
        [],
        {},
        True,
        "",
        "x" * 5000,
        {"a\0": "\0"},
    ]
    for method, path, operation in operations(schema, caller.organization):
        if "requestBody" not in operation or path.endswith("/usage/events"):
            continue
        form = operation["requestBody"]["content"]["application/json"]["schema"]
        names = schema["components"]["schemas"][form["$ref"].rpartition("/")[2]]["properties"]
        for turn, name in enumerate([*names, "idempotency_key"], start=len(path)):
            for value in part(strange, step=step, turn=turn):
                check(caller(method, path, json.dumps({name: value}).encode()))


@sampled(6)
def test_queries(caller: Caller, schema: dict[str, Any], step: int):
    """Each parameter gets every sixth of what is strange, beginning at another one each time; in `make verify`, all."""
    parameters = [
        (path, each["name"])
        for method, path, operation in operations(schema, caller.organization)
        if method == "GET"
        for each in operation.get("parameters", [])
        if each["in"] == "query"
    ]
    for number, (path, name) in enumerate(parameters):
        for value in part(STRANGE, step=step, turn=number):
            answer = Client(raise_request_exception=False).get(
                path,
                {name: value.encode(errors="surrogatepass")},
                headers={"Authorization": f"Bearer {caller.token}"},
            )
            check(answer)


@pytest.mark.parametrize("path", ["billing/payments", "billing/invoices", "orders"])
def test_times_with_odd_offsets_are_times(caller: Caller, path: str):
    """Licensing and API A2: PostgreSQL refuses an offset of 16 hours, and the answer was 500."""
    answer = caller("GET", f"/api/v1/{path}?created_at__gte=2026-11-21T00:00:00%2B16:00")
    assert answer.status_code == 200, answer.content
    answer = caller("GET", f"/api/v1/{path}?created_at__gte=0001-01-01T00:00:00%2B16:00")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/created_at__gte"


def test_a_filter_that_cannot_be_read_is_not_taken_for_none(caller: Caller):
    for query in ("failed=maybe", "failed=", "status=1_00", "status=NaN", "api_key=x", "start=yesterday"):
        answer = caller("GET", f"/api/v1/usage/requests?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"
    assert (
        caller("GET", "/api/v1/usage/requests?failed=true&status=503&start=2026-11-21T00:00:00Z").status_code
        == 200
    )


def test_methods_that_an_address_does_not_take(caller: Caller, schema: dict[str, Any]):
    for template, methods in schema["paths"].items():
        path = next(path for _, path, _ in operations({"paths": {template: methods}}, caller.organization))
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - {name.upper() for name in methods}:
            answer = caller(method, path)
            check(answer)
            assert answer.status_code == 405 or (answer.status_code == 404 and "{" in template), path
            if answer.status_code == 405:
                assert answer.headers["Allow"]
                assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["", "nothing", "api-keys/", "api-keys/abc", "usage/events//void", "%ff", "a%00b"]
)
def test_addresses_that_lead_nowhere(path):
    answer = Client().get(f"/api/v1/{path}")
    assert answer.status_code == 404
    check(answer)


def test_a_field_with_text_that_cannot_be_stored_is_named(caller: Caller):
    answer = caller(
        "POST", "/api/v1/orders", b'{"items": [{"product": "x", "options": {"interval": "\\u0000"}}]}'
    )
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/items/0/options/interval"]


def test_what_is_not_text_names_its_object(caller: Caller):
    answer = caller("POST", "/api/v1/orders", b'{"items": [{"product": "x", "options": {"a\\u0000": 1}}]}')
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/items/0/options"]


def test_a_pair_of_surrogates_is_a_character(caller: Caller):
    answer = caller("POST", "/api/v1/organizations", b'{"name": "\\ud83d\\ude00"}')
    assert (answer.status_code, answer.json()["name"]) == (201, "\U0001f600")


def test_a_body_that_is_too_large(caller: Caller):
    answer = caller("POST", "/api/v1/quotas/check", b'{"a": "' + b"x" * MAX_BODY_BYTES + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    check(answer)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "abc", "1.5", "９"])
def test_the_length_of_a_page(caller: Caller, limit: str):
    answer = Client().get(
        "/api/v1/orders", {"limit": limit}, headers={"Authorization": f"Bearer {caller.key}"}
    )
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"pointer": "/limit", "code": "invalid", "detail": "Send a number from 1 to 100."}
    ]


@pytest.mark.parametrize("cursor", [*CURSORS, "abc", "é"])
def test_a_cursor_that_is_not_ours(caller: Caller, cursor: str):
    answer = Client().get(
        "/api/v1/orders", {"cursor": cursor}, headers={"Authorization": f"Bearer {caller.key}"}
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/cursor"


def test_a_misspelled_filter_is_refused_by_name(caller: Caller):
    answer = caller("GET", "/api/v1/orders?stauts=paid")
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["pointer"], error["code"]) == ("/stauts", "unknown_parameter")
    assert error["detail"] == "There is no parameter 'stauts'. Did you mean status?"


def test_an_error_that_nobody_foresaw(caller: Caller, monkeypatch: pytest.MonkeyPatch, settings: Any):
    from metering.quotas import quota_status

    def fail(*_: Any) -> None:
        raise RuntimeError("sk_test_secret")

    monkeypatch.setattr(quota_status, "overview", fail)
    settings.DEBUG = True
    answer = caller("GET", "/api/v1/quotas")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b"secret" not in answer.content and b"Traceback" not in answer.content


def test_a_body_that_says_it_is_too_large_is_not_read(caller: Caller, settings: Any):
    """Whether our limit refuses it or Django's, which is found first where a view looks at the bytes themselves."""
    for most in (MAX_BODY_BYTES // 2, 4 * MAX_BODY_BYTES):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = most
        answer = caller("POST", "/api/v1/auth/login", b" " * (2 * MAX_BODY_BYTES))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.json()["detail"] == f"Send at most {MAX_BODY_BYTES:,} bytes, uncompressed."
        check(answer)
