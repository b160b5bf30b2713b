"""Every operation takes what its schema names, and refuses everything else by name."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver

from superagent import api
from superagent.foundation import contract, json_bodies, schema, tenancy
from superagent.foundation.views import ApiView
from tests.test_bad_input import Caller, caller, check, operations  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db


def views(patterns: list[URLPattern | URLResolver]) -> list[type]:
    found: list[type] = []
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            found += views(pattern.url_patterns)
        elif (view := getattr(pattern.callback, "cls", None)) is not None:
            found.append(view)
    return found


def test_every_view_of_the_api_holds_the_contract():
    assert len(views(api.v1)) > 40
    assert [view for view in views(api.v1) if not issubclass(view, ApiView)] == []


def test_every_operation_refuses_an_unknown_parameter_by_name(caller: Caller):  # noqa: F811
    """Licensing and API A7, metering A8."""
    for method, path, operation in operations(schema.document(), caller.organization):
        answer = caller(method, f"{path}?created_att=1", b"")
        check(answer)
        said = f"{operation['operationId']}: {answer.content!r}"
        assert answer.status_code == 400, said
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == ("/created_att", "unknown_parameter"), said


def test_every_operation_refuses_a_repeated_parameter(caller: Caller):  # noqa: F811
    for method, path, operation in operations(schema.document(), caller.organization):
        known = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        for name in known:
            answer = caller(method, f"{path}?{name}=a&{name}=b", b"")
            assert answer.status_code == 400, operation["operationId"]
            codes = [(error["pointer"], error["code"]) for error in answer.json()["errors"]]
            assert codes == [(f"/{name}", "repeated_parameter")]


def test_every_operation_refuses_an_unknown_field_of_its_body_by_name(caller: Caller):  # noqa: F811
    for method, path, operation in operations(schema.document(), caller.organization):
        if method == "GET":
            continue
        answer = caller(method, path, json.dumps({"quantty": 5}).encode())
        check(answer)
        said = f"{operation['operationId']}: {answer.content!r}"
        assert answer.status_code == 400, said
        assert ("/quantty", "unknown_field") in [
            (e["pointer"], e["code"]) for e in answer.json()["errors"]
        ], said


def test_a_field_that_is_sent_twice_is_refused_by_its_place(caller: Caller):  # noqa: F811
    """RFC 8259 leaves open which of the two a reader takes: a proxy that looks at one must not pass on the other."""
    for body, pointer in [
        ('{"max_total": 1, "items": [], "max_total": 9}', "/max_total"),
        ('{"items": [{"product": "x"}, {"product": "y", "product": "x"}]}', "/items/1/product"),
        ('{"items": {"a": 1, "a": 1}, "items": []}', "/items"),
    ]:
        answer = caller("POST", "/api/v1/orders", body.encode())
        check(answer)
        found = [(each["pointer"], each["code"], each["detail"]) for each in answer.json()["errors"]]
        assert (answer.status_code, found) == (400, [(pointer, "repeated_field", "Send it once.")]), body
    batch = b'[{"event_id": "1", "meter": "api_requests", "quantity": 1, "quantity": 1000}]'
    answer = caller("POST", "/api/v1/usage/events", batch)
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/0/quantity"]


def test_ten_thousand_texts_that_cannot_be_stored_are_not_all_told(caller: Caller):  # noqa: F811
    body = b'{"items": [' + b",".join([b'"\\u0000"'] * 10_000) + b"]}"
    answer = caller("POST", "/api/v1/orders", body)
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == json_bodies.MOST_ERRORS


def test_fields_within_fields_are_named_by_their_place(caller: Caller):  # noqa: F811
    body = {"items": [{"product": "x"}, {"produkt": "x"}], "max_total": 1}
    answer = caller("POST", "/api/v1/orders", json.dumps(body).encode())
    assert answer.json()["errors"] == [
        {
            "pointer": "/items/1/produkt",
            "code": "unknown_field",
            "detail": "There is no field 'produkt'. Did you mean product?",
        }
    ]


def test_what_takes_no_body_says_so(caller: Caller):  # noqa: F811
    answer = caller("POST", "/api/v1/billing/subscription/resume", b"[1]")
    assert answer.json()["errors"] == [{"pointer": "", "code": "unexpected_body", "detail": "Send no body."}]
    assert caller("POST", "/api/v1/billing/subscription/resume", b"{}").json()["code"] == "no_subscription"


def test_ten_thousand_unknown_fields_are_not_all_told(caller: Caller):  # noqa: F811
    body = {f"unknown_{number}_{'x' * 200}": 1 for number in range(4000)}
    answer = caller("POST", "/api/v1/quotas/check", json.dumps(body).encode())
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == contract.MOST_ERRORS
    assert len(answer.content) < 10_000


def test_more_parameters_than_django_reads(caller: Caller):  # noqa: F811
    answer = caller("GET", "/api/v1/orders?" + "&".join(f"a{n}=1" for n in range(2000)))
    check(answer)
    assert answer.status_code == 400


@pytest.mark.parametrize("query", ["fields=id,nme", "fields=", "fields=id,", "fields= id"])
def test_fields_that_there_are_not(caller: Caller, query: str):  # noqa: F811
    answer = caller("GET", f"/api/v1/orders?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/fields"


def test_every_get_that_answers_objects_answers_partly_too(caller: Caller):  # noqa: F811
    for method, path, operation in operations(schema.document(), caller.organization):
        if method != "GET" or path.endswith(("/stream", "/public-keys", "/customer-portal")):
            continue
        offered = [each for each in operation["parameters"] if each["name"] == "fields"]
        assert offered, operation["operationId"]
        names = offered[0][schema.CHOICES]
        answer = caller("GET", f"{path}?fields={names[-1]}")
        if answer.status_code != 200:
            assert answer.status_code == 404, answer.content
            continue
        body = answer.json()
        rows = body["data"] if isinstance(body.get("data"), list) and "data" not in names else [body]
        assert all(list(row) == [names[-1]] for row in rows), operation["operationId"]


def test_a_query_is_refused_by_whoever_asks_not_before(client: Client):
    assert client.get("/api/v1/orders?created_att=1").status_code == 401


def test_a_patch_of_nothing_changes_nothing(caller: Caller):  # noqa: F811
    paths = [
        path for method, path, _ in operations(schema.document(), caller.organization) if method == "PATCH"
    ]
    assert len(paths) == 5
    with tenancy.system("test"):
        owner = str(caller.organization.memberships.get().user_id)
    for path in paths:
        path = re.sub("(members|users)/(?!me)[^/]*", rf"\1/{owner}", path)
        answer = Client().patch(
            path, {}, content_type="application/json", headers={"Authorization": f"Bearer {caller.token}"}
        )
        assert answer.status_code == 200, answer.content


def test_what_a_path_takes_is_told_to_everyone(client: Client):
    answer = client.options("/api/v1/api-keys")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_invented_methods_leave_nothing_in_memory(client: Client):
    """No credential is needed to ask with a method that nobody has heard of, ten million times."""
    before = contract._operation.cache_info().currsize
    for number in range(3):
        answer = client.generic(
            f"BREW{number}", "/api/v1/licenses/validate", "{}", content_type="application/json"
        )
        assert answer.status_code == 405
        assert client.generic(f"BREW{number}", "/api/v1/billing/plans?fields=slug").status_code in (401, 405)
    assert contract._operation.cache_info().currsize == before


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("licenses/validate", {"license_key": "SA-1", "fingerprint": 0}, "/fingerprint"),
        ("licenses/validate", {"license_key": 12.5}, "/license_key"),
        ("orders", {"items": [{"product": 7}], "max_total": 900}, "/items/0/product"),
        ("organizations", {"name": 5}, "/name"),
    ],
)
def test_a_number_in_place_of_text_is_refused_by_name(caller: Caller, path: str, body: object, pointer: str):  # noqa: F811
    answer = caller("POST", f"/api/v1/{path}", json.dumps(body).encode())
    check(answer)
    assert answer.status_code == 400, answer.content
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
