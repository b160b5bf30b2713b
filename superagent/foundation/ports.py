"""Ports: functions that a lower layer calls and an upper one implements, without the lower importing the upper."""

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Port(Generic[P, R]):
    """Decorates the default implementation, which documents the interface and is called until another one is provided.

    `provide` is called once, in the `ready()` of the app that implements it.
    """

    def __init__(self, default: Callable[P, R]) -> None:
        self.function = default
        functools.update_wrapper(self, default)

    def provide(self, function: Callable[P, R]) -> None:
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)
