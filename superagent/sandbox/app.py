"""The sandbox as one ASGI application: `uvicorn superagent.sandbox.app:app` or `python -m superagent.sandbox`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from superagent.sandbox import console, mail
from superagent.sandbox.pages import checkout as checkout_pages
from superagent.sandbox.pages import invoice as invoice_pages
from superagent.sandbox.pages import portal as portal_pages
from superagent.sandbox.pages import rendering
from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import engine, test_clocks
from superagent.sandbox.stripe.api import api
from superagent.sandbox.stripe.deliveries import sender
from superagent.sandbox.stripe.endpoints import MODULES


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Load the state, then run the billing engine and the webhook sender beside the server."""
    store.open(settings.data_dir / "sandbox" / "sandbox.sqlite3")
    store.listen(sender.notice)
    tasks = [asyncio.create_task(sender.run()), asyncio.create_task(engine.run())]
    test_clocks.resume_all()
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    store.close()


async def health(_request: Request) -> Response:
    """GET /health"""
    return JSONResponse({"status": "ok", "stripe_endpoints": len(MODULES)})


_pages = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/health", health),
        *mail.routes,
        *console.routes,
        *rendering.routes,
        *invoice_pages.routes,
        *checkout_pages.routes,
        *portal_pages.routes,
    ],
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the API without middleware between it and the server, everything else by routes."""
    if scope["type"] == "http" and scope["path"].startswith("/v1/"):
        await api(scope, receive, send)
    else:
        await _pages(scope, receive, send)
