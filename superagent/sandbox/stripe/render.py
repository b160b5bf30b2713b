"""Objects as the API shows them: without the sandbox's own fields, with the fields asked for by `expand`."""

from collections.abc import Callable
from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import shapes
from superagent.sandbox.stripe.errors import StripeError

Include = Callable[[dict[str, Any]], Any]

# Fields that are computed only when they are expanded, by kind and name.
includes: dict[tuple[str, str], Include] = {}

LINES_SHOWN = 10


def included(kind: str, name: str) -> Callable[[Include], Include]:
    """Register the decorated function as the source of a field that appears only when expanded."""

    def register(function: Include) -> Include:
        includes[kind, name] = function
        return function

    return register


def plain(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy without the sandbox's own fields."""
    result = _bare(obj)
    lines = result.get("lines")
    if result.get("object") == "invoice" and lines and len(lines["data"]) > LINES_SHOWN:
        lines["data"] = lines["data"][:LINES_SHOWN]
        lines["has_more"] = True
    return result


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        own = "object" in value
        return {key: _bare(item) for key, item in value.items() if not (own and key.startswith("_"))}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def show(obj: dict[str, Any], expand: list[str] | None = None) -> dict[str, Any]:
    """Returns the object with the named paths expanded."""
    result = plain(obj)
    for path in expand or []:
        if path.count(".") > 3:
            raise StripeError("You cannot expand more than 4 levels of a property", param="expand")
        _expand(result, path.split("."), path)
    return result


def _expand(node: Any, parts: list[str], path: str) -> None:
    if isinstance(node, list):
        for item in node:
            _expand(item, parts, path)
        return
    if not isinstance(node, dict):
        return
    name, rest = parts[0], parts[1:]
    value = _value(node, name, path)
    if isinstance(value, str):
        value = _object(value)
        node[name] = value
    elif isinstance(value, list):
        value = node[name] = [_object(item) if isinstance(item, str) else item for item in value]
    if rest:
        _expand(value, rest, path)


def _value(node: dict[str, Any], name: str, path: str) -> Any:
    kind = node.get("object", "")
    if (kind, name) in includes and name not in node:
        node[name] = includes[kind, name](node)
    elif name not in node:
        known = kind in shapes.CLASSES and name in shapes.fields(kind)
        if kind in shapes.CLASSES and not known:
            message = f"This property cannot be expanded ({path})."
            raise StripeError(message, param="expand")
        return None
    return node[name]


def _object(object_id: str) -> Any:
    found = store.get(object_id)
    return plain(found) if found else object_id
