"""Addresses and forms are in UTF-8, whatever the Content-Type of a request says.

Django decodes the address too by the charset that is named for the body, and does so while it makes the request: a
codec of Python that is none of text, such as `zip`, was a bare 500 in front of all middleware. A form in another
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
        """As Django's, which then takes `charset` for the encoding of everything."""
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class WsgiRequest(_InUtf8, WSGIRequest):
    pass


class AsgiRequest(_InUtf8, ASGIRequest):
    pass
