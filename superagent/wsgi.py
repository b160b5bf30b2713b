"""Pages and API without streams, for granian or any other WSGI server behind nginx (docs/deployment)."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "superagent.settings")
_django = get_wsgi_application()  # first: it sets Django up

from metering.request_path import shipping  # noqa: E402 - needs Django
from superagent.foundation.charsets import WsgiRequest  # noqa: E402 - as above

_django.request_class = WsgiRequest


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    shipping.watch_over_spool()  # here, and not at import: a thread does not survive the fork of a server
    return _django(environ, start_response)
