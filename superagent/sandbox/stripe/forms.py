"""Form-encoded requests, decoded and checked against the pinned stripe library's own parameter types.

`stripe.params.*` describes every parameter of the pinned API version. A parameter that a type does not know answers
`parameter_unknown`, a value of the wrong form answers the error that Stripe gives.
"""

import re
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import get_type_hints, is_typeddict

from superagent.sandbox.stripe.errors import StripeError

OPTION_NAMES = frozenset(RequestOptions.__annotations__)
KEY_PARTS = re.compile(r"\[([^\]]*)\]")
ABSENT = object()


def decode(text: str) -> dict[str, Any]:
    """Turn `a[b][0][c]=1` into nested dicts whose leaves are strings."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        head, _, rest = key.partition("[")
        parts = [head, *KEY_PARTS.findall("[" + rest)] if rest else [head]
        node = tree
        for position, part in enumerate(parts):
            if part == "":
                part = str(len(node))
            if position == len(parts) - 1:
                node[part] = value
                break
            child = node.get(part)
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
    return tree


@cache
def _fields(params_type: Any) -> tuple[dict[str, Any], frozenset[str]]:
    # The inherited request options name what their own module does not hand on.
    hints = get_type_hints(params_type, localns={"StripeContext": str, "Mapping": Mapping})
    fields = {name: hint for name, hint in hints.items() if name not in OPTION_NAMES}
    return fields, frozenset(params_type.__required_keys__) - OPTION_NAMES


def read(tree: Mapping[str, Any], params_type: Any, path: str = "") -> dict[str, Any]:
    """Returns the typed values of a TypedDict, or raise the error that Stripe answers."""
    fields, required = _fields(params_type)
    result = {}
    for name, value in tree.items():
        place = f"{path}[{name}]" if path else name
        if name not in fields:
            raise StripeError(f"Received unknown parameter: {place}", code="parameter_unknown", param=place)
        result[name] = _coerce(value, fields[name], place)
    for name in sorted(required - result.keys()):
        place = f"{path}[{name}]" if path else name
        raise StripeError(f"Missing required param: {place}.", code="parameter_missing", param=place)
    return result


def _alternatives(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(hint) for inner in _alternatives(part)]
    return [hint]


def _coerce(value: Any, hint: Any, path: str) -> Any:
    error: StripeError | None = None
    for alternative in sorted(_alternatives(hint), key=_precedence):
        try:
            result = _coerce_one(value, alternative, path)
        except StripeError as problem:
            # The last alternative is the most general one; a nested unknown parameter says more than "Invalid object".
            if error is None or not error.param or len(problem.param or "") >= len(error.param):
                error = problem
            continue
        if result is not ABSENT:
            return result
    raise error or StripeError(f"Invalid {'object' if isinstance(value, dict) else 'value'}", param=path)


def _precedence(hint: Any) -> int:
    order = {bool: 1, int: 2, float: 3, Decimal: 4, str: 6}
    if typing.get_origin(hint) is typing.Literal:
        return 0
    return order.get(hint, 5)


def _coerce_one(value: Any, hint: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return _literal(value, typing.get_args(hint), path)
    if origin is list:
        return _list(value, typing.get_args(hint)[0], path)
    if origin in (dict, UntypedStripeObject) or hint is UntypedStripeObject:
        if not isinstance(value, dict):
            raise StripeError("Invalid object", param=path)
        inner = typing.get_args(hint)[-1] if typing.get_args(hint) else str
        return {
            key: item if inner is str else _coerce(item, inner, f"{path}[{key}]")
            for key, item in value.items()
        }
    if is_typeddict(hint):
        if not isinstance(value, dict):
            raise StripeError("Invalid object", param=path)
        return read(value, hint, path)
    if not isinstance(value, str):
        raise StripeError(f"Invalid {getattr(hint, '__name__', 'value')}: a nested object", param=path)
    return _scalar(value, hint, path)


def _literal(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    for choice in choices:
        if value == choice or (choice is True and value == "true") or (choice is False and value == "false"):
            return choice
    if choices == ("",):
        return ABSENT
    names = [str(choice) for choice in choices]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + f", or {names[-1]}"
    raise StripeError(f"Invalid {path}: must be one of {listed}", param=path)


def _list(value: Any, inner: Any, path: str) -> list[Any]:
    if not isinstance(value, dict) or not all(key.isdigit() for key in value):
        raise StripeError("Invalid array", param=path)
    return [_coerce(value[key], inner, f"{path}[{key}]") for key in sorted(value, key=int)]


def _scalar(value: str, hint: Any, path: str) -> Any:
    if hint is bool:
        if value in ("true", "false"):
            return value == "true"
        raise StripeError(f"Invalid boolean: {value}", param=path)
    if hint is int:
        if re.fullmatch(r"-?\d+", value):
            return int(value)
        raise StripeError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
    if hint in (float, Decimal):
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            raise StripeError(f"Invalid decimal: {value}", param=path)
        return float(value) if hint is float else Decimal(value)
    if hint is str or hint is Any:
        if value == "":
            text = (
                f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a "
                f"parameter; however '{path}' cannot be unset. You should remove '{path}' from your request or "
                "supply a non-empty value."
            )
            raise StripeError(text, code="parameter_invalid_empty", param=path)
        return value
    return value
