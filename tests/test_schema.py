"""The OpenAPI schema says what is so: what every operation must have, and examples that hold."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from superagent.foundation import schema as foundation_schema
from superagent.portal.reference import document, examples
from tests.fixtures import answers

VERBS = frozenset(
    re.findall(
        r"\w+",
        "list create get update delete remove cancel resume change preview check report void validate activate "
        "deactivate heartbeat login logout register refresh revoke rotate accept",
    )
)
STRANGE_NAMES = {"auth_me", "users_me", "usage_stats", "usage_series", "usage_stream"}


@pytest.fixture
def schema() -> dict[str, Any]:
    return foundation_schema.document()


def every(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def test_it_is_valid_and_drawn_without_a_warning(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yaml"))


def test_it_is_openapi_3_1_and_says_where_and_how_to_call(schema):
    """Licensing and API A4."""
    assert schema["openapi"] == "3.1.0"
    assert schema["servers"][0]["url"].startswith("http")
    assert set(schema["components"]["securitySchemes"]) == {"ApiKey", "AccessToken"}
    for heading in ("Authentication", "Errors", "Repeating a request", "Lists", "Limits", "Values"):
        assert f"## {heading}\n" in schema["info"]["description"]
    assert [tag["name"] for tag in schema["tags"]] == list(document.AREAS)


def test_every_operation_has_a_name_for_clients_a_summary_an_area_and_its_problems(schema):
    names = [operation["operationId"] for _, _, operation in every(schema)]
    assert len(set(names)) == len(names)
    for _, _, operation in every(schema):
        name = operation["operationId"]
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
        area = operation["tags"][0]
        assert [area] == operation["tags"] and area in document.AREAS
        assert name in STRANGE_NAMES or name.rpartition("_")[2] in VERBS, name
        assert 5 < len(operation["summary"]) < 50 and not operation["summary"].endswith("."), name
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
        assert {"400", "429"} <= operation["responses"].keys()
        assert ("401" in operation["responses"]) == bool(operation.get("security")), name


def test_credentials_say_their_scope(schema):
    paths = schema["paths"]
    assert paths["/api/v1/api-keys"]["post"]["security"] == [
        {"ApiKey": ["keys:write"]},
        {"AccessToken": ["keys:write"]},
    ]
    assert paths["/api/v1/auth/me"]["get"]["security"] == [{"AccessToken": []}]
    assert "security" not in paths["/api/v1/auth/login"]["post"]


def test_headers_of_requests_and_answers_are_told(schema):
    def asked(path: str, method: str) -> set[str]:
        return {
            each["name"] for each in schema["paths"][path][method]["parameters"] if each["in"] == "header"
        }

    def answered(path: str, method: str, status: str) -> set[str]:
        return set(schema["paths"][path][method]["responses"][status]["headers"])

    assert asked("/api/v1/orders", "post") == {"X-Organization-Id", "Idempotency-Key"}
    assert asked("/api/v1/usage/events", "post") == {"X-Organization-Id", "Idempotency-Key"}
    assert "Idempotency-Key" in asked("/api/v1/billing/subscription/resume", "post")
    assert asked("/api/v1/billing/plans", "get") == {"X-Organization-Id", "If-None-Match"}
    assert "X-Organization-Id" not in asked("/api/v1/licenses/validate", "post")
    assert "Idempotent-Replayed" in answered("/api/v1/orders", "post", "201")
    assert "Link" in answered("/api/v1/orders", "get", "200")
    assert "ETag" in answered("/api/v1/billing/plans", "get", "200")
    assert {"RateLimit", "RateLimit-Policy"} <= answered("/api/v1/quotas", "get", "200")
    assert {"Retry-After", "WWW-Authenticate"} <= answered("/api/v1/quotas", "get", "429")
    assert "SuperAgent-Signature" in answered("/api/v1/licenses/validate", "post", "200")
    for _, _, operation in every(schema):
        assert all("X-Request-Id" in response["headers"] for response in operation["responses"].values())


def test_a_component_says_whether_it_is_asked_or_answered(schema):
    """A page of a list is `Paginated…List`; CloudEvents and problems have the names of their standards."""
    standard = {"CloudEvent", "Problem"}
    for name, component in schema["components"]["schemas"].items():
        if "properties" in component and name not in standard:
            assert name.endswith(("Request", "Response", "ResponseList")), name


def test_limits_and_lengths_are_told(schema):
    parameters = {
        each["name"]: each["schema"] for each in schema["paths"]["/api/v1/orders"]["get"]["parameters"]
    }
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 100)
    assert parameters["cursor"]["minLength"] == 1
    bodies = schema["components"]["schemas"]
    assert bodies["CreateApiKeyRequest"]["properties"]["name"]["minLength"] == 1
    assert bodies["CreateApiKeyRequest"]["additionalProperties"] is False
    assert "minLength" not in bodies["OrderResponse"]["properties"]["failure"]
    assert set(bodies["NewApiKeyResponse"]["required"]) == set(bodies["NewApiKeyResponse"]["properties"])


def test_every_body_answer_and_parameter_has_an_example_that_holds(schema):
    """A4: Swagger proposed a nonce of line noise."""
    for _, _, operation in every(schema):
        name = operation["operationId"]
        for parameter in operation["parameters"]:
            answers.hold_value(parameter["example"], parameter["schema"], f"{name}, {parameter['name']}: ")
        parts = [operation.get("requestBody", {}), *examples._good(operation)]
        for content in (content for part in parts for content in part.get("content", {}).items()):
            kind, media = content
            if kind == "application/json":
                answers.hold_value(media["example"], media["schema"], f"{name}: ")
                assert None not in list(flat(media["example"], nulls=False)), name


def flat(value: Any, *, nulls: bool) -> Any:
    """Values that are null though their name is no one's that may be: nobody thought of an example."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner is None and name not in examples.VALUES and not nulls:
                yield None
            yield from flat(inner, nulls=nulls)
    elif isinstance(value, list):
        for inner in value:
            yield from flat(inner, nulls=nulls)


def test_descriptions_are_for_readers_of_the_api(schema):
    """Docstrings speak to who reads the code; none may slip into the document."""
    assert "swagger_fake_view" not in json.dumps(schema)
    for _, _, operation in every(schema):
        text = operation.get("description", "")
        assert "DRF" not in text and "view" not in text.split(), operation["operationId"]


def test_the_schema_is_served_as_json_and_yaml_with_an_etag(client: Client):
    first = client.get("/api/schema/")
    assert first.headers["Content-Type"] == "application/json"
    assert json.loads(first.content)["openapi"] == "3.1.0"
    again = client.get("/api/schema/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for query, headers in (("?format=yaml", {}), ("", {"Accept": "application/yaml"})):
        yaml = client.get(f"/api/schema/{query}", headers=headers)
        assert yaml.headers["Content-Type"] == "application/vnd.oai.openapi"
        assert yaml.content.startswith(b"openapi: 3.1.0")
    assert client.get("/api/schema/?format=xml").status_code == 400
    assert client.get("/api/schema").headers["Location"] == "/api/schema/"


def test_the_schema_is_drawn_once_in_a_process(client: Client):
    assert foundation_schema.document() is foundation_schema.document()
