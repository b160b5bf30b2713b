"""Content negotiation of the API."""

from functools import lru_cache
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_OUR_OWN = frozenset({"*/*", "application/*", "application/json", "application/problem+json"})


class SingleRendererNegotiation(DefaultContentNegotiation):
    """Uses the view's only renderer, or answers 406 if JSON is not accepted. DRF's own negotiation costs a tenth of a
    request.
    """

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if len(renderers) != 1 or format_suffix is not None:
            return super().select_renderer(request, renderers, format_suffix)
        if not _takes_json(request.META.get("HTTP_ACCEPT", "*/*")):
            raise NotAcceptable("The API answers in JSON: send Accept: application/json.")
        return renderers[0], renderers[0].media_type


@lru_cache(maxsize=512)
def _takes_json(accept: str) -> bool:
    """Returns whether the Accept header allows JSON (RFC 9110, section 12.5.1): the most specific range decides, and a
    weight of 0 excludes.
    """
    weights: dict[str, bool] = {}
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        weights[name] = not any(
            each.startswith("q=") and each[2:].rstrip("0") in ("", "0.") for each in parameters
        )
    if not any(weights):
        return True  # an empty header
    exact = weights.get("application/json", weights.get("application/problem+json"))
    if exact is not None:
        return exact
    return any(weights.get(name, False) for name in _OUR_OWN)
