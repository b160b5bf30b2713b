"""The OpenAPI schema: how it is generated from the views, and what all operations have in common."""

import threading
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import BaseSerializer, ListSerializer

from superagent.foundation.serializers import PartialResponse

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
"""Extension for a parameter that takes a list: the allowed words."""
MARKS = "x-marks"
"""Extension of an operation, removed at the end: `keyed`, `revalidated`, `paged`."""

_drawing = threading.Lock()  # drf-spectacular's generator is not thread-safe


def document() -> dict[str, Any]:
    """Returns the whole schema, generated once in each process. Do not modify it."""
    with _drawing:
        return _document()


@cache
def _document() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


class OperationSchema(AutoSchema):
    """Derives from a view and its serializers what views need not repeat."""

    def get_override_parameters(self) -> list[Any]:
        names = self._partial_names() if self.method == "GET" else None
        return [_fields_parameter(names)] if names else []

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular does
        """Returns the description given to `extend_schema` only: docstrings are for readers of the code."""
        return ""

    def get_auth(self) -> list[dict[str, list[str]]]:
        """Returns the security schemes with the scope that the view requires (OpenAPI 3.1 allows roles for any)."""
        declared: Any = getattr(self.view, "required_scope", None)
        scope = declared.get(self.method) if isinstance(declared, dict) else declared
        return [{name: [str(scope)] if scope else [] for name in each} for each in super().get_auth()]

    def get_extensions(self) -> dict[str, Any]:
        marks = {
            "keyed": self._is_keyed(),
            "revalidated": hasattr(self.view, "cache_control"),
            "paged": self._is_list_view(),
        }
        return super().get_extensions() | {MARKS: [name for name, is_so in marks.items() if is_so]}

    def _is_keyed(self) -> bool:
        """Returns whether the method honors an idempotency key."""
        body: Any = self.get_request_serializer() if self.method == "POST" else None
        fields = getattr(body, "_declared_fields", {})
        method = getattr(self.view, self.method.lower())
        return "idempotency_key" in fields or getattr(method, "is_idempotent", False)

    def _partial_names(self) -> list[str] | None:
        """Returns the fields that `?fields=` can select, if the response may be partial."""
        answer: Any = self.get_response_serializers()
        if isinstance(answer, dict):
            answer = next(iter(answer.values()))
        if isinstance(answer, type) and issubclass(answer, BaseSerializer):
            answer = answer()
        for found in _objects(answer):
            if isinstance(found, PartialResponse):
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


def _fields_parameter(names: list[str]) -> OpenApiParameter:
    choice = f"({'|'.join(names)})"
    return OpenApiParameter(
        "fields",
        str,
        description=f"Only these fields of each object, separated by commas: {', '.join(names)}.",
        pattern=f"^{choice}(,{choice})*$",
        extensions={CHOICES: names},
    )


# --- Postprocessing: hooks of drf-spectacular, each given the whole document


def close_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Forbid additional fields in request bodies; `contract` enforces it."""
    for operation in operations(result):
        for node in nodes(result, _schemas(operation.get("requestBody", {}))):
            if "properties" in node:
                node.setdefault("additionalProperties", False)
    return result


def complete_answers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Require every field of a response; a partial response may have any of them."""
    partial: set[int] = set()
    for operation in operations(result):
        answers = [_schemas(response) for response in operation["responses"].values()]
        for node in nodes(result, [schema for schemas in answers for schema in schemas]):
            node.pop("readOnly", None)
            node.pop("minLength", None)
            if "properties" in node and id(node) not in partial:
                node["required"] = list(node["properties"])
        if any(each["name"] == "fields" for each in operation.get("parameters", [])):
            for found in _row_of(result, operation["responses"]["200"]):
                partial.add(id(found))
                found.pop("required", None)
    return result


def describe_parameters(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Forbid empty query parameters."""
    for operation in operations(result):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            is_free = schema.get("type") == "string" and not {"enum", "format", "pattern"} & schema.keys()
            if parameter["in"] == "query" and is_free:
                schema["minLength"] = 1
    return result


def describe_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe `default`, the response for every status that is not listed."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    reference = {"$ref": "#/components/schemas/Problem"}
    answer = {"description": "A problem.", "content": {"application/problem+json": {"schema": reference}}}
    for operation in operations(result):
        operation["responses"].setdefault("default", answer)
    return result


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def nodes(document: dict[str, Any], roots: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields every schema that is reachable from `roots`, each once."""
    waiting, seen = list(roots), set()
    while waiting:
        node = resolve(document, waiting.pop())
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting += node.get("properties", {}).values()
        waiting += [each for choice in ("allOf", "oneOf", "anyOf") for each in node.get(choice, [])]
        waiting += [
            node[name] for name in ("items", "additionalProperties") if isinstance(node.get(name), dict)
        ]


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Returns `node`, or the component that it refers to."""
    if "$ref" not in node:
        return node
    found = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _schemas(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the schemas of a request's body or of a response."""
    return [content["schema"] for content in part.get("content", {}).values() if "schema" in content]


def _row_of(result: dict[str, Any], response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Returns the objects that `fields` applies to: the response itself, or those in its `data`."""
    for schema in _schemas(response):
        answer = resolve(result, schema)
        data = resolve(result, answer.get("properties", {}).get("data", {}))
        is_list = "next" in answer["properties"] or next(iter(answer["properties"])) == "data"
        yield resolve(result, data["items"]) if is_list else answer
