"""Addresses and forms are in UTF-8, whatever the Content-Type of a request says.

Django decodes the URL, too, by the charset of the body, before any middleware runs: a Python codec that is not for
text, such as `zip`, caused a bare 500. A form in another
charset is refused later (superagent.portal.middleware.ErrorPages); JSON is in UTF-8 by its own rule.
"""

from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.utils.http import parse_header_parameters


class _InUtf8:
    content_type: str | None
    content_params: dict[str, str] | None

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Like Django's, but does not use the `charset` of the body for everything else."""
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class WsgiRequest(_InUtf8, WSGIRequest):
    pass


class AsgiRequest(_InUtf8, ASGIRequest):
    pass
