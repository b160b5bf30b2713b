"""Schemathesis makes requests of every operation from the schema, and holds every answer against it."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from superagent.foundation import schema
from tests.test_bad_input import Caller, caller  # noqa: F401  # a fixture

pytestmark = [pytest.mark.verify, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
HELD = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES = 8
STREAM = "/api/v1/usage/stream"


def test_every_operation_answers_as_its_schema_says(caller: Caller) -> None:  # noqa: F811
    application = get_wsgi_application()
    described: Any = schemathesis.openapi.from_dict(schema.document())
    described.app = application
    checks = CHECKS.get_by_names(list(HELD))
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path != STREAM:
            fuzz(operation, caller, checks)


def fuzz(operation: Any, caller: Caller, checks: Any) -> None:  # noqa: F811
    token = caller.token if operation.path.startswith(("/api/v1/auth/", "/api/v1/users/me")) else caller.key

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def hold(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"})
        if answer.status_code != 503:  # there is no Stripe here, and no sandbox in its place
            case.validate_response(answer, checks=checks)

    hold()
