"""The OpenAPI schema: how it is drawn from the views, and what all its operations have in common."""

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import BaseSerializer, ListSerializer

from superagent.foundation.serializers import PartialAnswer

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457, with our code, request_id and the invalid fields.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "The field of the body, by RFC 6901; empty: the whole body. Or /name of a "
                        "query parameter.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


CHOICES = "x-choices"
"""Of a parameter that lists words: which."""

_drawing = threading.Lock()  # drf-spectacular's generator is not for two threads at once


def document() -> dict[str, Any]:
    """The whole schema, drawn once in each process. Not to be changed."""
    with _drawing:
        return _document()


@cache
def _document() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


class OperationSchema(AutoSchema):
    """What a view and its serializers say by themselves, so that no view need repeat it."""

    def get_override_parameters(self) -> list[Any]:
        names = self._partial_names() if self.method == "GET" else None
        if not names:
            return []
        choice = f"({'|'.join(names)})"
        return [
            OpenApiParameter(
                "fields",
                str,
                description=f"Only these fields of each object, separated by commas: {', '.join(names)}.",
                pattern=f"^{choice}(,{choice})*$",
                extensions={CHOICES: names},
            )
        ]

    def _partial_names(self) -> list[str] | None:
        """The fields of the answer's objects, if the answer may be partial."""
        answer: Any = self.get_response_serializers()
        if isinstance(answer, dict):
            answer = next(iter(answer.values()))
        if isinstance(answer, type) and issubclass(answer, BaseSerializer):
            answer = answer()
        for found in _objects(answer):
            if isinstance(found, PartialAnswer):
                return list(found.fields)
        return None


def _objects(answer: Any) -> Iterator[Any]:
    """The serializer of an answer, or that of the list in its `data`."""
    if isinstance(answer, ListSerializer):
        answer = answer.child
    yield answer
    data = getattr(answer, "fields", {}).get("data")
    if isinstance(data, ListSerializer):
        yield data.child


def close_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: objects in the bodies of requests have no other fields; `contract` holds it."""
    waiting = [
        content["schema"]
        for operations in result["paths"].values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            if name not in seen:
                seen.add(name)
                waiting.append(result["components"]["schemas"][name])
            continue
        if "properties" in node:
            node.setdefault("additionalProperties", False)
            waiting += node["properties"].values()
        waiting += [each for choice in ("allOf", "oneOf", "anyOf") for each in node.get(choice, [])]
        if "items" in node:
            waiting.append(node["items"])
    return result


def describe_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular: `default` is the answer of every status that is not listed."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    reference = {"$ref": "#/components/schemas/Problem"}
    answer = {"description": "A problem.", "content": {"application/problem+json": {"schema": reference}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", answer)
    return result
