"""The reference as pages: the OpenAPI document taken apart into what templates show, once in each process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from superagent.foundation import schema
from superagent.portal.reference import samples
from superagent.portal.reference.document import AREAS, INTRODUCTION

TITLES = {"api-keys": "API keys", "auth": "Login"}
DEEPEST = 4
_markdown = MarkdownIt(
    "commonmark", {"html": False}
)  # the texts are ours, and still nothing in them becomes markup


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body or an answer; `depth` is how many objects it lies in."""

    name: str
    kind: str
    text: SafeString
    is_required: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    place: str
    kind: str
    text: SafeString
    is_required: bool


@dataclass(frozen=True, slots=True)
class Error:
    status: str
    phrase: str
    text: str


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    text: SafeString
    credentials: tuple[str, ...]
    scope: str
    parameters: tuple[Parameter, ...]
    body: tuple[Field, ...]
    status: str
    answer: tuple[Field, ...]
    example: str
    headers: tuple[str, ...]
    errors: tuple[Error, ...]
    samples: tuple[samples.Sample, ...]


@dataclass(frozen=True, slots=True)
class Area:
    slug: str
    title: str
    text: str
    operations: tuple[Operation, ...]


@cache
def areas() -> tuple[Area, ...]:
    """Every area with its operations, in the order of `document.AREAS`."""
    document = schema.document()
    found: dict[str, list[Operation]] = {slug: [] for slug in AREAS}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(_operation(document, path, method, operation))
    return tuple(
        Area(slug, TITLES.get(slug, slug.capitalize()), text, tuple(sorted(found[slug], key=_order)))
        for slug, text in AREAS.items()
    )


@cache
def introduction() -> SafeString:
    return _rendered(INTRODUCTION.read_text())


def _order(operation: Operation) -> tuple[str, int]:
    """By address, and what reads before what writes."""
    return operation.path, ["GET", "POST", "PATCH", "DELETE"].index(operation.method)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Operation:
    status, response = next(
        (status, response) for status, response in operation["responses"].items() if status.startswith("2")
    )
    security = operation.get("security", [])
    content = response.get("content", {}).get("application/json", {})
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        text=_inline(operation.get("description", "")),
        credentials=tuple(name for each in security for name in each),
        scope=next((scope for each in security for scopes in each.values() for scope in scopes), ""),
        parameters=tuple(_parameter(document, each) for each in operation["parameters"]),
        body=tuple(_fields(document, body["schema"], 0)) if body else (),
        status=f"{status} {HTTPStatus(int(status)).phrase}",
        answer=tuple(_fields(document, content["schema"], 0)) if content else (),
        example=_pretty(content["example"]) if content else "",
        headers=tuple(response["headers"]),
        errors=tuple(_errors(operation["responses"])),
        samples=samples.of(document["servers"][0]["url"], path, method.upper(), operation),
    )


def _parameter(document: dict[str, Any], parameter: dict[str, Any]) -> Parameter:
    if schema.CHOICES in parameter:
        kind = "names, separated by commas"
    else:
        kind = _kind(document, parameter["schema"])
    return Parameter(
        parameter["name"],
        parameter["in"],
        kind,
        _inline(parameter.get("description", "")),
        parameter.get("required", False),
    )


def _errors(responses: dict[str, Any]) -> Iterator[Error]:
    for status, response in sorted(responses.items()):
        if status.isdecimal() and not status.startswith("2"):
            yield Error(status, HTTPStatus(int(status)).phrase, response["description"])


def _fields(document: dict[str, Any], node: dict[str, Any], depth: int) -> Iterator[Field]:
    """The fields of an object, of the first object that a choice offers, or of a list's items; inner ones after it."""
    node = _object(document, node)
    required = set(node.get("required", ()))
    for name, inner in node.get("properties", {}).items():
        text = _inline(inner.get("description", "") or schema.resolve(document, inner).get("description", ""))
        yield Field(name, _kind(document, inner), text, name in required, depth)
        if depth < DEEPEST:
            yield from _fields(document, inner, depth + 1)


def _object(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    node = schema.resolve(document, node)
    for choice in ("allOf", "oneOf", "anyOf"):
        if choice in node:
            return _object(document, node[choice][0])
    return _object(document, node["items"]) if "items" in node else node


def _kind(document: dict[str, Any], node: dict[str, Any]) -> str:
    """In words: `text of 1 to 255 characters`, `one of month, year`, `list of objects`, each perhaps `or null`."""
    node = schema.resolve(document, node)
    for choice in ("allOf", "oneOf", "anyOf"):
        if choice in node:
            kinds = [_kind(document, each) for each in node[choice]]
            return " or ".join(dict.fromkeys(kinds))
    kinds = node.get("type", "anything")
    names = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(_named(document, node, name) for name in names)


def _named(document: dict[str, Any], node: dict[str, Any], name: str) -> str:
    if name == "null":
        return "null"
    if "enum" in node:
        words = [str(word) for word in node["enum"]]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if name == "array":
        kind = _kind(document, node["items"])
        return "list of objects" if kind == "object" else f"list of {kind}"
    if name == "string":
        return _text_kind(node)
    if name in ("integer", "number"):
        return _number_kind(node, "whole number" if name == "integer" else "number")
    return {"boolean": "true or false"}.get(name, name)


def _text_kind(node: dict[str, Any]) -> str:
    words = {
        "date-time": "time",
        "uuid": "UUID",
        "uri": "address",
        "email": "email address",
        "decimal": "decimal",
    }
    kind = words.get(node.get("format", ""), "text")
    least, most = node.get("minLength", 0), node.get("maxLength")
    if kind != "text" or not most:
        return kind
    return f"{kind} of {f'{least} to' if least else 'at most'} {most:,} characters"


def _number_kind(node: dict[str, Any], kind: str) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is None or abs(least) > 10**15:
        return kind
    return f"{kind} from {least:,}" + (f" to {most:,}" if most is not None and most < 10**15 else "")


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _inline(text: str) -> SafeString:
    return mark_safe(_markdown.renderInline(text))  # noqa: S308  # markdown-it escapes what is markup


def _rendered(text: str) -> SafeString:
    """With headings that can be linked to, and code that can be scrolled by keyboard."""
    html = _markdown.render(text).replace("<pre>", '<pre tabindex="0">')
    for line in text.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            html = html.replace(
                f"<h2>{title}</h2>", f'<h2 id="{title.lower().replace(" ", "-")}">{title}</h2>'
            )
    return mark_safe(html)  # noqa: S308  # as above
