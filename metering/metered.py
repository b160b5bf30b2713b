"""Which views are metered: all that act for an organization, but those that say `is_metered = False`."""

from typing import Any

from django.http import HttpRequest


def is_metered(view: Any) -> bool:
    return getattr(view, "is_metered", True)


def view_of(request: HttpRequest) -> Any:
    """The class, or the function, that answers `request`; None when the address leads nowhere."""
    match = request.resolver_match
    if match is None:
        return None
    return getattr(match.func, "cls", None) or getattr(match.func, "view_class", None) or match.func
