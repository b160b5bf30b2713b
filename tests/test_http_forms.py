"""What the API keeps of HTTP: forms of answers and bodies, conditional requests, links, requests of other origins."""

from __future__ import annotations

import gzip
import json

import pytest
from django.test import Client

from accounts.roles import Scope
from superagent.foundation.problems import MAX_BODY_BYTES
from tests.accounts.conftest import founded, key_of, person
from tests.metering.conftest import Api, new_key

pytestmark = pytest.mark.django_db
ORIGIN = "https://dashboard.customer.example"


@pytest.fixture
def key(organization) -> Api:
    return new_key(organization, *Scope)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("", 200),
        ("text/html, application/xhtml+xml, */*;q=0.8", 200),
        ("application/*;q=0.1", 200),
        ("application/problem+json", 200),
        ("application/xml", 406),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
        ("application/json;q=0.0", 406),
        ("application/json; q=0.01", 200),
    ],
)
def test_whoever_does_not_take_json_is_told(accept: str, status: int):
    """Licensing and API A7."""
    answer = Client().get("/api/v1/licenses/public-keys", headers={"Accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert answer.json()["code"] == "not_acceptable"
        assert answer.headers["Content-Type"] == "application/problem+json"


def post(key: Api, body: bytes, encoding: str):
    return key.post("quotas/check", body, **{"Content-Encoding": encoding})


QUESTION = json.dumps({"meter": "ai_tokens", "quantity": 1}).encode()


def test_a_packed_body_is_unpacked(key: Api):
    assert post(key, gzip.compress(QUESTION), "gzip").status_code == 200
    assert post(key, QUESTION, "identity").status_code == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (QUESTION, "br", 415, "unsupported_encoding"),
        (QUESTION, "gzip, gzip", 415, "unsupported_encoding"),
        (QUESTION, "gzip", 400, "parse_error"),
        (gzip.compress(QUESTION)[:-4], "gzip", 400, "parse_error"),
        (gzip.compress(QUESTION) + b"x", "gzip", 400, "parse_error"),
        (gzip.compress(b'{"a": "' + b"x" * MAX_BODY_BYTES + b'"}'), "gzip", 413, "body_too_large"),
        (gzip.compress(b" " * 32 * MAX_BODY_BYTES), "gzip", 413, "body_too_large"),
    ],
    ids=["brotli", "twice", "not packed", "half", "more", "large unpacked", "huge unpacked"],
)
def test_a_packed_body_that_cannot_be_read_says_why(
    key: Api, body: bytes, encoding: str, status: int, code: str
):
    answer = post(key, body, encoding)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 415:
        assert answer.headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "path", ["billing/plans", "billing/products", "usage/meters", "licenses/public-keys"]
)
def test_what_seldom_changes_can_be_asked_for_anew(key: Api, path: str):
    first = key.get(path)
    etag = first.headers["ETag"]
    assert "no-store" not in first.headers["Cache-Control"]
    headers = {"Authorization": f"Bearer {key.key}", "If-None-Match": etag}
    again = Client().get(f"/api/v1/{path}", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag
    other = Client().get(f"/api/v1/{path}", headers=headers | {"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, first.json())


def test_pages_of_a_list_are_linked_in_the_header_too():
    organization = founded("Acme", person("ada@acme.example"))
    api, _second, _third = (key_of(organization) for _ in range(3))
    first = api.get("api-keys?limit=1")
    following = first.json()["next"]
    assert first.headers["Link"] == f'<{following}>; rel="next"'
    second = Client().get(following, headers={"Authorization": f"Bearer {api.credential}"})
    body = second.json()
    assert second.headers["Link"] == f'<{body["next"]}>; rel="next", <{body["previous"]}>; rel="prev"'


def test_pages_of_a_named_origin_can_use_all_of_the_api(settings):
    """Licensing and API A5: neither keys of idempotency nor the organization could be sent, nor our headers read."""
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    asked = "authorization,content-type,idempotency-key,x-organization-id,x-request-id,if-none-match"
    preflight = Client().options(
        "/api/v1/api-keys",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    allowed = {name.strip() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
    assert set(asked.split(",")) <= allowed
    assert {"POST", "PATCH", "DELETE"} <= set(preflight.headers["Access-Control-Allow-Methods"].split(", "))
    answer = Client().get("/api/v1/licenses/public-keys", headers={"Origin": ORIGIN})
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    for name in (
        "SuperAgent-Signature",
        "RateLimit",
        "Retry-After",
        "X-Request-Id",
        "Idempotent-Replayed",
        "Link",
    ):
        assert name in exposed
    refused = Client().get("/api/v1/orders", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
