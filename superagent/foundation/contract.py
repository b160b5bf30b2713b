"""Holds each API request against its OpenAPI schema: parameters and fields that the schema does not name are refused.

A misspelled filter would return the whole list, and a misspelled field would be replaced by its default, so both are
refused by name. The schema is the only declaration: what it omits cannot be used, so it cannot become outdated.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

from django.http import HttpRequest, QueryDict
from rest_framework.request import Request

from superagent.foundation import schema
from superagent.foundation.problems import FieldError, Invalid, pointer_to

MOST_ERRORS = 20
MOST_NAME = 100
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Shape:
    """The names that an object may have, and the shapes of their values. An open one accepts any others, too."""

    properties: Mapping[str, "Shape"] = field(default_factory=dict)
    items: "Shape | None" = None
    is_closed: bool = False
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    parameters: Mapping[str, frozenset[str]]
    """Query parameters, each with the words allowed in its list, if it takes a list."""
    body: Shape | None


def hold(request: Request) -> None:
    """Raises Invalid for unknown or repeated parameters and fields of the operation of `request`.

    Also for numbers where the schema has a string: a serializer would accept them as text or as an id.
    """
    hold_query(request._request)
    if request.META.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in request.META:
        operation = _operation_of(request._request)
        if operation is not None:
            _hold_body(request.data, operation)


def hold_query(request: HttpRequest) -> None:
    """The part of `hold` about the query, for views that are not DRF's."""
    if not request.META.get("QUERY_STRING"):
        return
    operation = _operation_of(request)
    if operation is None:
        return
    _refuse(_wrong_parameters(request.GET, operation.parameters))


def _hold_body(body: Any, operation: Operation) -> None:
    if operation.body is not None:
        _refuse(_wrong_fields(body, operation.body, ()))
    elif isinstance(body, dict):
        _refuse(_wrong_fields(body, Shape(is_closed=True), ()))
    elif body is not None:
        _refuse([FieldError("", "unexpected_body", "Send no body.")])


def _refuse(found: Iterable[FieldError]) -> None:
    if errors := list(islice(found, MOST_ERRORS)):
        raise Invalid.fields(errors)


def _wrong_parameters(query: QueryDict, known: Mapping[str, frozenset[str]]) -> Iterator[FieldError]:
    for name, values in query.lists():
        if name not in known:
            yield _unknown(name, "unknown_parameter", known, (name,))
        elif len(values) > 1:
            yield FieldError(pointer_to(name), "repeated_parameter", "Send it once.")
        elif not values[0]:
            yield FieldError(pointer_to(name), "blank", "Send a value, or leave it out.")
        elif choices := known[name]:
            for word in values[0].split(","):
                if word not in choices:
                    yield _unknown(word, "unknown_field", choices, (name,), named=name)


def _wrong_fields(body: Any, shape: Shape, path: tuple[str | int, ...]) -> Iterator[FieldError]:
    if isinstance(body, dict):
        for name, value in body.items():
            inner = shape.properties.get(name)
            if inner is not None:
                yield from _wrong_fields(value, inner, (*path, name))
            elif shape.is_closed:
                yield _unknown(name, "unknown_field", shape.properties, (*path, name))
    elif isinstance(body, list):
        for index, value in enumerate(body if shape.items else ()):
            yield from _wrong_fields(value, shape.items or shape, (*path, index))
    elif shape.is_text and isinstance(body, int | float):
        yield FieldError(pointer_to(*path), "invalid", "Send a string: write it in quotation marks.")


def _unknown(
    name: str, code: str, known: Collection[str], path: tuple[str | int, ...], *, named: str = ""
) -> FieldError:
    kind = code.removeprefix("unknown_")
    close = difflib.get_close_matches(name, known, n=1) if len(name) <= MOST_NAME else []
    if close:
        remedy = f"Did you mean {close[0]}?"
    else:
        remedy = f"Choose from {', '.join(sorted(known))}." if known else "Send none."
    pointer = pointer_to(*path[:-1], (named or name)[:MOST_NAME])
    return FieldError(pointer, code, f"There is no {kind} {name[:MOST_NAME]!r}. {remedy}")


# --- Reading the schema


def _operation_of(request: HttpRequest) -> Operation | None:
    """Returns the operation, or None if the schema has none: OPTIONS, and methods that are refused later.

    The caller chooses the method, and results are cached, so only known methods are looked up.
    """
    match = request.resolver_match
    method = "GET" if request.method == "HEAD" else request.method
    return _operation(match.route, method) if match is not None and method in METHODS else None


def path_of(route: str) -> str:
    """Returns one of Django's routes as the schema writes it: `/api/v1/orders/{order_id}`."""
    return "/" + _CONVERTER.sub(r"{\1}", route).replace("{pk}", "{id}")


@cache
def _operation(route: str, method: str) -> Operation | None:
    document = schema.document()
    operation = document["paths"].get(path_of(route), {}).get(method.lower())
    if operation is None:
        return None
    parameters = {
        each["name"]: frozenset(each.get(schema.CHOICES, ()))
        for each in operation.get("parameters", [])
        if each["in"] == "query"
    }
    content = operation.get("requestBody", {}).get("content", {})
    body = _shape(content["application/json"]["schema"], document) if content else None
    return Operation(parameters, body)


def _shape(node: dict[str, Any], document: dict[str, Any]) -> Shape:
    """Returns the shape of a schema; of a choice, that of its only object beside null, and no shape if there are
    several.
    """
    node = schema.resolve(document, node)
    for choice in ("allOf", "oneOf", "anyOf"):
        if choice in node:
            objects = [each for each in node[choice] if each.get("type") != "null"]
            return _shape(objects[0], document) if len(objects) == 1 else Shape()
    if "items" in node:
        return Shape(items=_shape(node["items"], document))
    properties = {name: _shape(inner, document) for name, inner in node.get("properties", {}).items()}
    is_text = node.get("type") in ("string", ["string", "null"])
    return Shape(properties, is_closed=node.get("additionalProperties") is False, is_text=is_text)
