"""The OpenAPI schema says what is so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client


@pytest.fixture
def schema() -> dict[str, Any]:
    return json.loads(Client().get("/api/schema/", headers={"Accept": "application/json"}).content)


def test_it_is_valid_and_drawn_without_a_warning(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yaml"))


def test_every_operation_has_a_name_of_its_own_and_its_problems(schema):
    operations = [operation for methods in schema["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]


def test_it_is_openapi_3_1_and_names_the_credential(schema):
    assert schema["openapi"] == "3.1.0"
    assert "/api/v1/usage/stream" in schema["paths"]
    assert schema["components"]["securitySchemes"]
