"""The table of endpoints: each handler is registered with its method, path and the library's type of its parameters."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[..., Any]


@dataclass
class Call:
    """One authenticated request with checked parameters."""

    params: dict[str, Any]
    method: str = "GET"
    path: str = ""
    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Route:
    """One endpoint."""

    method: str
    pattern: re.Pattern[str]
    params_type: Any
    handler: Handler


@dataclass
class Routes:
    """Endpoints by method and number of path segments."""

    table: dict[tuple[str, int], list[Route]] = field(default_factory=dict)

    def add(self, method: str, path: str, params_type: Any, handler: Handler) -> None:
        """Register an endpoint."""
        pattern = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$")
        key = (method, path.count("/"))
        self.table.setdefault(key, []).append(Route(method, pattern, params_type, handler))

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Returns the endpoint for a request and the values in its path."""
        for route in self.table.get((method, path.count("/")), []):
            found = route.pattern.match(path)
            if found:
                return route, found.groupdict()
        return None


routes = Routes()


def route(method: str, path: str, params_type: Any) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of `method path`.

    Literal paths must be registered before patterns that also match them.
    """

    def register(handler: Handler) -> Handler:
        routes.add(method, path, params_type, handler)
        return handler

    return register


@dataclass(frozen=True)
class Page:
    """A handler's answer that is one page of a list; the server cuts it, newest first."""

    objects: list[dict[str, Any]]
    url: str
