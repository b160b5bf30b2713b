"""Lists: cursor pagination and the filters that many of them share."""

from typing import Any

from superagent.sandbox.stripe.errors import StripeError, missing
from superagent.sandbox.stripe.shapes import listing

COMPARISONS = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def page(objects: list[dict[str, Any]], params: dict[str, Any], url: str) -> dict[str, Any]:
    """Returns one page of `objects`, which are ordered oldest first and shown newest first."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        code = "parameter_invalid_integer"
        raise StripeError("Invalid integer: limit must be between 1 and 100", code=code, param="limit")
    ordered = objects[::-1]
    start, end = 0, len(ordered)
    if "starting_after" in params:
        start = _position(ordered, params["starting_after"], "starting_after") + 1
    if "ending_before" in params:
        end = _position(ordered, params["ending_before"], "ending_before")
        start = max(start, end - limit)
        return listing(ordered[start:end], url, has_more=start > 0)
    return listing(ordered[start : start + limit], url, has_more=start + limit < end)


def _position(ordered: list[dict[str, Any]], object_id: str, param: str) -> int:
    for index, obj in enumerate(ordered):
        if obj["id"] == object_id:
            return index
    raise missing("object", object_id, param=param, status=400)


def matches_created(obj: dict[str, Any], params: dict[str, Any], name: str = "created") -> bool:
    """Returns whether a time of the object passes the filter of that name: an exact time or bounds."""
    wanted = params.get(name)
    if wanted is None:
        return True
    value = obj.get(name)
    if isinstance(wanted, int):
        return value == wanted
    return value is not None and all(COMPARISONS[key](value, bound) for key, bound in wanted.items())


def matches(obj: dict[str, Any], params: dict[str, Any], *names: str) -> bool:
    """Returns whether the object's fields equal those parameters that are given."""
    return all(obj.get(name) == params[name] for name in names if name in params)


def apply_metadata(obj: dict[str, Any], params: dict[str, Any]) -> None:
    """Merge metadata as Stripe does: an empty value removes a key, an empty string removes all."""
    if "metadata" not in params:
        return
    if params["metadata"] == "":
        obj["metadata"] = {}
        return
    merged = {**obj["metadata"], **params["metadata"]}
    obj["metadata"] = {key: value for key, value in merged.items() if value != ""}


def apply(obj: dict[str, Any], params: dict[str, Any], *names: str) -> None:
    """Copy plain parameters onto the object; an empty string unsets a field."""
    for name in names:
        if name in params:
            obj[name] = None if params[name] == "" else params[name]
