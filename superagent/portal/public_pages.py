"""Pages that every visitor is shown alike, drawn once and served from memory until the catalog changes.

Each process keeps its own copies, under a name in Redis that all of them ask for: a change of the catalog makes a new
name once it is committed, and what was drawn before is not served again; where Redis is lost at that very moment, it is
for at most five minutes. Without Redis every page is drawn anew.
"""

from __future__ import annotations

import functools
import gzip
import time
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import NamedTuple
from uuid import uuid4

from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import get_language

from superagent.foundation.templatetags.ui import theme_of

GENERATION = "public-pages"
MOST_AGE_SECONDS = 300  # what no signal tells of, such as a price that was corrected by SQL
MOST_PAGES = 200
_VARY = ("Accept-Encoding", "Accept-Language", "Cookie")

View = Callable[..., HttpResponseBase]


class Copy(NamedTuple):
    drawn_at: float
    etag: str
    content_type: str
    body: bytes
    packed: bytes


_copies: dict[tuple[object, ...], Copy] = {}


def public_page(*, choices: Mapping[str, Collection[str]] | None = None) -> Callable[[View], View]:
    """Decorate a view whose page is the same for all visitors: it reads nothing of the request but its path, host,
    language, theme and the query parameters in `choices`, whose known values are given.

    Someone who has a session or a message waiting gets a page of their own.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if settings.DEBUG or _is_somebody(request):
                return view(request, *args, **kwargs)
            generation = _generation()
            if generation is None:
                return view(request, *args, **kwargs)
            key = (generation, request.get_host(), *_variant(request, choices or {}))
            copy = _copies.get(key)
            if copy is None or time.monotonic() - copy.drawn_at > MOST_AGE_SECONDS:
                response = view(request, *args, **kwargs)
                if not isinstance(response, HttpResponse) or response.status_code != 200 or response.cookies:
                    return response
                copy = _keep(key, response)
            return _answer(request, copy)

        return wrapped

    return decorate


def empty() -> None:
    """Nothing that was drawn until now is served again, once the transaction is committed."""
    transaction.on_commit(lambda: cache.set(GENERATION, uuid4().hex, timeout=None))


def _is_somebody(request: HttpRequest) -> bool:
    cookies = request.COOKIES
    return (
        settings.SESSION_COOKIE_NAME in cookies
        or "messages" in cookies
        or bool(messages.get_messages(request))
    )


def _variant(request: HttpRequest, choices: Mapping[str, Collection[str]]) -> tuple[object, ...]:
    chosen = tuple(
        value if (value := request.GET.get(name)) in known else None for name, known in choices.items()
    )
    return (request.path, request.is_secure(), get_language(), theme_of(request), *chosen)


def _generation() -> str | None:
    """The name of what is served now; None without Redis, when a change could not be told."""
    found: str | None = cache.get(GENERATION)
    if found is None and cache.add(GENERATION, uuid4().hex, timeout=None):
        found = cache.get(GENERATION)
    return found


def _keep(key: tuple[object, ...], response: HttpResponse) -> Copy:
    body = response.content
    copy = Copy(
        drawn_at=time.monotonic(),
        etag=f'W/"{blake2b(body, digest_size=16).hexdigest()}"',
        content_type=response.headers["Content-Type"],
        body=body,
        packed=gzip.compress(body, 9, mtime=0),
    )
    if len(_copies) >= MOST_PAGES:
        _copies.clear()
    _copies[key] = copy
    return copy


def _answer(request: HttpRequest, copy: Copy) -> HttpResponseBase:
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    response = HttpResponse(copy.packed if is_packed else copy.body, content_type=copy.content_type)
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["ETag"] = copy.etag
    response.headers["Cache-Control"] = "public, no-cache"  # kept by browsers, and asked about by the ETag
    patch_vary_headers(response, _VARY)
    return get_conditional_response(request, etag=copy.etag, response=response) or response
