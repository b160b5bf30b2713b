"""Schemathesis makes requests of every operation from the schema, right ones and wrong ones, and holds every answer.

All of its checks are on but those of LEFT_OUT. The sandbox answers for Stripe, so that nothing has an excuse to be 503.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import from_schema
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished

from superagent.foundation import schema, tenancy
from superagent.foundation.idempotency import HEADER, REPLAYED
from superagent.portal.reference import examples
from tests.billing.conftest import Sandbox, deliver_all, shop, stripe_at_sandbox
from tests.test_bad_input import Caller, caller

__all__ = ["caller", "shop", "stripe_at_sandbox"]  # fixtures

pytestmark = [pytest.mark.verify, pytest.mark.django_db(transaction=True), pytest.mark.timeout(1800)]

EXAMPLES = 5
LEFT_OUT = {
    # A schema cannot say which plan, product or meter there is, nor that an end lies after its start: 400 and 404 by
    # name are right answers to what it allows.
    "positive_data_acceptance",
    # Needs two people's credentials and who may see what; tests/test_tenants.py has that for every address.
    "object_level_authorization",
}
# It does not end, and needs the asynchronous entry; tests/metering/api/test_stream.py reads it.
STREAM = "/api/v1/usage/stream"
EVENTS = "/api/v1/usage/events"
SHORT = 8
EXAMPLE_KEY = examples.VALUES["idempotency_key"]
BY_TOKEN = "^/api/v1/(auth/|users/me|organizations)"  # what takes no API key, as in tests/test_bad_input.py


@pytest.fixture
def customer(shop: Sandbox, caller: Caller) -> Caller:
    """The caller's organization is known to Stripe."""
    with tenancy.system("test"):
        deliver_all(caller.organization)
    return caller


def configuration(customer: Caller, address: str) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": address,
            "headers": {"Authorization": f"Bearer {customer.key}", "Accept-Encoding": "identity"},
            "operations": [
                {"include-path": STREAM, "enabled": False},
                # Of a list of events the good ones are taken: 200 names each that was refused
                {"include-path": EVENTS, "checks": {"negative_data_rejection": {"enabled": False}}},
                {"include-path-regex": BY_TOKEN, "headers": {"Authorization": f"Bearer {customer.token}"}},
            ],
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            # What is found in answers would be used in later requests: the caller's own key would be revoked.
            "phases": {
                "coverage": {"extra-data-sources": {"responses": False}},
                "fuzzing": {"extra-data-sources": {"responses": False}},
                "stateful": {"enabled": False},
            },
            "checks": {name: {"enabled": False} for name in LEFT_OUT},
        }
    )


def test_every_operation_answers_as_its_schema_says(customer: Caller, live_server: Any) -> None:
    config = configuration(customer, live_server.url)
    # The examples speak of an organization that is the caller's own, or every answer would be 404.
    document = json.loads(json.dumps(schema.document()).replace(examples.ACME, str(customer.organization.pk)))
    described: Any = schemathesis.openapi.from_dict(document, config=config)
    statuses: Counter[int] = Counter()
    keyed: Counter[int] = Counter()
    found: dict[tuple[str, str, str], str] = {}
    for event in from_schema(described).execute():
        note(event, statuses, keyed, found)
    assert not found, "\n\n".join(found.values())
    assert statuses[200] > 100 and statuses[400] > 100 and not statuses[503], statuses
    assert keyed[200] + keyed[201] > 1 and keyed[400] > 10, keyed


@schemathesis.hook("before_call")
def with_a_key_of_its_own(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """The one example of a key, in all requests, made of most a repetition: 409, or an earlier answer.

    A request that tries a wrong header is left alone: once edited it would count as right, and be given what it lacks.
    """
    meta = case.meta
    if (
        meta
        and meta.generation.mode.is_negative
        and meta.phase.data.parameter_location is ParameterLocation.HEADER
    ):
        return
    if case.headers and HEADER in case.headers:
        fresh = another_key(str(case.headers[HEADER]))
        case.headers[HEADER] = fresh
        if isinstance(case.body, dict) and case.body.get("idempotency_key") == EXAMPLE_KEY:
            case.body = case.body | {"idempotency_key": fresh}


def another_key(key: str) -> str:
    """As long as `key`; of the shortest there is no choice."""
    return (uuid4().hex * 8)[: len(key)] if len(key) >= SHORT else key


def note(
    event: EngineEvent, statuses: Counter[int], keyed: Counter[int], found: dict[tuple[str, str, str], str]
) -> None:
    if isinstance(event, (FatalError, NonFatalError)):
        raise AssertionError(str(getattr(event, "exception", None) or event.info.format()))
    if not isinstance(event, ScenarioFinished):
        return
    for answered in event.recorder.interactions.values():
        statuses[answered.response.status_code if answered.response else 0] += 1
        keys = answered.request.headers.get(HEADER, [])
        if answered.response and keys and len(keys[0]) >= SHORT:
            keyed[answered.response.status_code] += 1
            assert REPLAYED.lower() not in answered.response.headers, "a repetition says nothing"
    for nodes in event.recorder.checks.values():
        for node in nodes:
            if node.failure_info is not None:
                failure = node.failure_info.failure
                key = (failure.operation, node.name, failure.title)
                found.setdefault(key, f"{key}: {failure.message}\n{node.failure_info.code_sample}")
