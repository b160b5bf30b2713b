"""Rendering of the pages, with a strict policy: nothing inline, nothing from elsewhere."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from superagent.sandbox.stripe import lines

HERE = Path(__file__).parent
STATIC = {path.name: path for path in (HERE / "static").iterdir()}
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(STATIC.values()))).hexdigest()[:10]

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'{more}"
)
# A page that shows somebody's HTML mail in a frame; the mail itself gets a policy of its own.
FRAMING = "; frame-src 'self'"

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def _moment(value: int | float | str) -> str:
    when = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    return f"{when.day} {when:%B %Y}"


def _instant(value: int | float | str) -> str:
    when = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def _origin(location: str) -> str:
    scheme, _, rest = location.partition("://")
    return f"{scheme}://{rest.split('/')[0]}"


_environment.filters.update(money=lines.money, date=_moment, instant=_instant, interval=lines.interval_text)
_environment.globals.update(version=VERSION)


def page(
    template: str,
    *,
    status: int = 200,
    leads_to: tuple[str | None, ...] = (),
    frames: bool = False,
    **context: Any,
) -> Response:
    """Render a page. `leads_to` names addresses elsewhere to which its forms may redirect."""
    targets = "".join(f" {origin}" for origin in sorted({_origin(target) for target in leads_to if target}))
    headers = {
        "Content-Security-Policy": POLICY.format(more=targets + (FRAMING if frames else "")),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_environment.get_template(template).render(**context), status, headers)


async def static(request: Request) -> Response:
    """Serve one of our own files."""
    path = STATIC.get(request.path_params["name"])
    if path is None:
        return Response(status_code=404)
    return FileResponse(path, headers={"Cache-Control": "public, max-age=86400"})


routes = [Route("/_sandbox/static/{name}", static)]
