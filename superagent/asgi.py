"""Everything on one port: streams to async views, the rest to the WSGI application in threads.

Behind nginx this entry serves the stream paths only, and granian serves superagent.wsgi (docs/deployment).
"""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "superagent.settings")
streams = get_asgi_application()  # first: it sets Django up

from django.conf import settings  # noqa: E402 - needs DJANGO_SETTINGS_MODULE

from metering.request_path import shipping  # noqa: E402 - as above
from superagent.foundation.charsets import AsgiRequest  # noqa: E402 - as above
from superagent.operations.serving import StreamsAndPages  # noqa: E402 - as above
from superagent.wsgi import application as pages  # noqa: E402 - as above

streams.request_class = AsgiRequest

# Paths of async views whose answer may stay open. A path that is missing here works, but one open stream holds a
# thread: tests/test_architecture.py compares this list with the async views in the URL configuration.
STREAM_PATHS = frozenset({"/api/v1/usage/stream"})


def _stop() -> None:
    """uvicorn ends by the signal that stopped it, so `atexit` functions never run."""
    shipping.ship_the_rest()


application = StreamsAndPages(
    streams=streams,
    pages=pages,
    stream_paths=STREAM_PATHS,
    threads=settings.WEB_THREADS,
    at_start=shipping.watch_over_spool,
    at_stop=_stop,
)
