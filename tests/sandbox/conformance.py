"""Checks emitted objects, recursively, against the pinned stripe library's own resource classes."""

import sys
import types
import typing
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import import_module
from typing import Any

from stripe import ListObject, StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import UntypedStripeObject

RESOURCES: dict[str, Any] = {
    kind: getattr(import_module(module), name)
    for kind, (module, name) in OBJECT_CLASSES.items()
    if kind not in ("list", "search_result") and not kind.startswith("v2.")
}


class Names(dict[str, Any]):
    """Bare names in annotations. An alias such as DisputeResource means the class without its ending.

    A class that the sandbox never emits becomes one without fields, so that emitting it would be found.
    """

    def __missing__(self, name: str) -> Any:
        if name.endswith("Resource"):
            return self[name.removesuffix("Resource")]
        if name[0].isupper():
            return type(name, (StripeObject,), {})
        raise KeyError(name)


# A name that several modules share (Product, Session) means the top-level one.
NAMES = {cls.__name__: cls for cls in sorted(RESOURCES.values(), key=lambda cls: -cls.__module__.count("."))}


@cache
def hints(cls: Any) -> dict[str, Any]:
    """Return the resolved types of a class's fields."""
    scope = vars(sys.modules[cls.__module__])
    found = typing.get_type_hints(cls, localns=Names({**NAMES, **scope}))
    return {
        name: hint
        for name, hint in found.items()
        if typing.get_origin(hint) is not typing.ClassVar
        and not name.startswith("_")
        and name not in ("api_key", "stripe_account", "stripe_version", "last_response")
    }


def check(obj: dict[str, Any], path: str = "") -> list[str]:
    """Return what is wrong with an object that names its own kind."""
    kind = obj.get("object")
    if kind == "list":
        return [
            problem for index, item in enumerate(obj["data"]) for problem in check(item, f"{path}[{index}]")
        ]
    if kind not in RESOURCES:
        return [f"{path}: no class for object={kind!r}"]
    return _check_class(obj, RESOURCES[kind], path or kind)


def _check_class(value: Any, cls: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not a {cls.__name__}"]
    fields = hints(cls)
    problems = [f"{path}.{name}: not a field of {cls.__name__}" for name in value if name not in fields]
    if value.get("deleted") is True:
        return problems
    for name, hint in fields.items():
        if name in value:
            problems += _check(value[name], hint, f"{path}.{name}")
        elif type(None) not in typing.get_args(hint):
            problems.append(f"{path}.{name}: missing")
    return problems


def _check(value: Any, hint: Any, path: str) -> list[str]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, args, path)
    if origin is typing.Literal:
        return [] if value in args else [f"{path}: {value!r} is not one of {args}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is not a list"]
        return [
            problem
            for index, item in enumerate(value)
            for problem in _check(item, args[0], f"{path}[{index}]")
        ]
    if origin is ListObject:
        return _check_list(value, args[0], path)
    if origin is UntypedStripeObject:
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is not an object"]
        return (
            []
            if args[0] is Any
            else [
                problem for key, item in value.items() for problem in _check(item, args[0], f"{path}.{key}")
            ]
        )
    if isinstance(hint, type) and issubclass(hint, StripeObject):
        return _check_class(value, hint, path)
    return _check_scalar(value, hint, path)


def _check_list(value: Any, hint: Any, path: str) -> list[str]:
    if not isinstance(value, dict) or set(value) != {"object", "data", "has_more", "url"}:
        return [f"{path}: not a list object"]
    return [
        problem
        for index, item in enumerate(value["data"])
        for problem in _check(item, hint, f"{path}.data[{index}]")
    ]


def _check_union(value: Any, args: tuple[Any, ...], path: str) -> list[str]:
    if value is None:
        return [] if type(None) in args else [f"{path}: null"]
    choices = [arg for arg in args if arg is not type(None)]
    if isinstance(value, dict) and value.get("object") in RESOURCES:
        own = [arg for arg in choices if arg is RESOURCES[value["object"]]]
        choices = own or choices
    found = [_check(value, choice, path) for choice in choices]
    return min(found, key=len)


def _check_scalar(value: Any, hint: Any, path: str) -> list[str]:
    if hint is Any:
        return []
    if hint is Decimal:
        try:
            Decimal(value)
        except (InvalidOperation, TypeError):
            return [f"{path}: {value!r} is not a decimal string"]
        return [] if isinstance(value, str) else [f"{path}: {value!r} is a number, not a decimal string"]
    expected = (int, float) if hint is float else hint
    fits = isinstance(value, expected) and (hint is bool or not isinstance(value, bool))
    return [] if fits else [f"{path}: {value!r} is not {getattr(hint, '__name__', hint)}"]
