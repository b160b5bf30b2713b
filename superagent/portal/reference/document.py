"""What the OpenAPI document says beside its operations: introduction, servers, areas, headers, examples.

Hooks of drf-spectacular's postprocessing (SPECTACULAR_SETTINGS), after those of `foundation.schema`.
"""

import re
from pathlib import Path
from typing import Any

from django.conf import settings

from superagent.foundation.schema import MARKS, operations
from superagent.portal.reference import examples

INTRODUCTION = Path(__file__).with_name("introduction.md")
STREAM = "/api/v1/usage/stream"

AREAS = {
    "auth": "Sign up, log in, and who one is. Access tokens are for people; programs use API keys.",
    "users": "The people of an organization.",
    "organizations": "Organizations, their members and invitations.",
    "api-keys": "The keys that programs call the API with.",
    "usage": "Report use, and see what was used.",
    "quotas": "What is left of the allowances of the usage period.",
    "billing": "Plans, the subscription to one, invoices and payments.",
    "subscriptions": "Subscriptions of API plans and of licenses.",
    "orders": "One-time purchases and licenses.",
    "licenses": "Licenses as their owners see them, and what control panels ask: validation, activation, use.",
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "OrganizationId": {
        "name": "X-Organization-Id",
        "in": "header",
        "description": "The organization to act for, with an access token; without it, the default one. An API key has "
        "one organization, and needs none named.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A text of your own. Sent again with the same body, it is answered as the first time, and "
        "nothing is done twice.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier answer: 304 without a body if nothing has changed.",
        "schema": {"type": "string"},
    },
}

HEADERS: dict[str, dict[str, Any]] = {
    "RequestId": {
        "description": "Names this request to our support. A sane X-Request-Id of your own is kept.",
        "required": True,
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What remains of the usage period (`period`) and of the burst (`burst`), and the seconds until "
        "each is whole again. By draft-ietf-httpapi-ratelimit-headers.",
        "schema": {"type": "string"},
    },
    "RateLimitPolicy": {
        "description": "The limits that RateLimit counts against, and their windows in seconds.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "With 429 and 503: the seconds to wait.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Challenge": {"description": "With 401 and 403: what is asked for.", "schema": {"type": "string"}},
    "Replayed": {
        "description": "`true` when the answer is that of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "ETag": {"description": "Of this answer, for If-None-Match.", "schema": {"type": "string"}},
    "Link": {"description": "The next and previous page, as in the body.", "schema": {"type": "string"}},
    "Signature": {
        "description": "`keyid=…, ts=…, sig=…`: Ed25519 over `ts`, the nonce and the body, each ended by a line feed "
        "but the last. See licenses/public-keys.",
        "required": True,
        "schema": {"type": "string"},
    },
}

ERRORS = {
    "400": "A parameter or a field is wrong, missing or unknown; `errors` names each.",
    "401": "The credential is missing, unknown or no longer good.",
    "403": "The credential or the role does not include this.",
    "404": "There is no such object in the organization.",
    "409": "The present state does not allow it; `code` says why.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Not enough of the quota is left, or too many calls came at once. Wait for Retry-After.",
}


def describe_stream(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The one operation that is no view of DRF's."""
    result["paths"][STREAM] = {
        "get": {
            "operationId": "usage_stream",
            "summary": "Watch the counters of the usage period live",
            "description": "Server-sent events: a `usage` event whenever a counter changed. The connection ends after "
            "15 minutes; clients connect again.",
            "tags": ["usage"],
            "parameters": [],
            "security": result["paths"]["/api/v1/usage/meters"]["get"]["security"],
            "responses": {
                "200": {
                    "description": "Events, until one side ends it.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                }
            },
        }
    }
    return result


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    info = result["info"]
    info["summary"] = "Sell and meter API access, AI use and licenses."
    info["description"] = INTRODUCTION.read_text()
    result["servers"] = [{"url": settings.PUBLIC_URL, "description": "This installation"}]
    result["tags"] = [{"name": name, "description": text} for name, text in AREAS.items()]
    result["components"]["headers"] = HEADERS
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            marks = set(operation.pop(MARKS, ()))
            _add_parameters(operation, marks)
            _add_errors(operation, path, marks)
            _add_headers(operation, _signed(path, method), marks)
    for operation in operations(result):
        examples.add(result, operation)
    return result


def _signed(path: str, method: str) -> bool:
    return method == "post" and re.match(r"/api/v1/licenses/\w+$", path) is not None


def _add_parameters(operation: dict[str, Any], marks: set[str]) -> None:
    names = []
    if any("AccessToken" in each for each in operation.get("security", [])):
        names.append("OrganizationId")
    if "keyed" in marks:
        names.append("IdempotencyKey")
    if "revalidated" in marks:
        names.append("IfNoneMatch")
    operation["parameters"] = operation.get("parameters", []) + [dict(PARAMETERS[name]) for name in names]


def _add_errors(operation: dict[str, Any], path: str, marks: set[str]) -> None:
    statuses = {"400", "429"}
    if operation.get("security"):
        statuses |= {"401", "403", "404"}
    if "{" in path:
        statuses.add("404")
    if "requestBody" in operation:
        statuses |= {"409", "413", "415"}
    problem = operation["responses"].pop("default")
    for status in sorted(statuses):
        operation["responses"].setdefault(status, {**problem, "description": ERRORS[status]})
    if "revalidated" in marks:
        operation["responses"]["304"] = {
            "description": "Nothing has changed since the ETag of If-None-Match."
        }
    operation["responses"]["default"] = problem | {"description": "Another problem."}


def _add_headers(operation: dict[str, Any], is_signed: bool, marks: set[str]) -> None:
    names = {"X-Request-Id": "RequestId"}
    if is_signed:
        names["SuperAgent-Signature"] = "Signature"
    if operation.get("security"):
        names |= {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
    good = dict(names)
    if "keyed" in marks:
        good["Idempotent-Replayed"] = "Replayed"
    if "revalidated" in marks:
        good["ETag"] = "ETag"
    if "paged" in marks:
        good["Link"] = "Link"
    bad = names | {"Retry-After": "RetryAfter", "WWW-Authenticate": "Challenge"}
    for status, response in operation["responses"].items():
        chosen = good if status.startswith(("2", "3")) else bad
        response["headers"] = {
            name: {"$ref": f"#/components/headers/{component}"} for name, component in chosen.items()
        }
