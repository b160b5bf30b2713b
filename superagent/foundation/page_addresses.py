"""URLs that show no page of their own name the page that they belong to.

A form posts to `/api-keys/<id>/revoke/`; htmx loads a part of a page. Opened in a browser (after a login that an
expired session asked for, from the history, by a copied link), such a URL redirects to the page.
"""

import functools
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_http_methods

View = Callable[..., HttpResponseBase]
ATTRIBUTE = "belongs_to_page"
get_or_post = require_http_methods(["GET", "HEAD", "POST"])  # a page with a form that is sent to itself
READING = ("GET", "HEAD")


def post_only(*, page: str) -> Callable[[View], View]:
    """Decorate a view that only accepts a POST, from a form on the page with the URL name `page`."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method in READING:
                return redirect(page_address(request))
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            return view(request, *args, **kwargs)

        setattr(wrapped, ATTRIBUTE, page)
        return wrapped

    return decorate


def fragment(*, page: str) -> Callable[[View], View]:
    """Decorate a view that returns a part of the page with the URL name `page` to htmx."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method in READING and "HX-Request" not in request.headers:
                return redirect(page_address(request))
            return view(request, *args, **kwargs)

        setattr(wrapped, ATTRIBUTE, page)
        return wrapped

    return decorate


def page_address(request: HttpRequest) -> str:
    """Returns a URL that a browser can open to get back to where this request came from."""
    match = request.resolver_match
    page = getattr(match.func, ATTRIBUTE, None) if match else None
    if match is None or page is None:
        return request.get_full_path()
    try:
        address = reverse(page, kwargs=match.kwargs)
    except NoReverseMatch:  # the page of all, such as the list in which each row has a button
        address = reverse(page)
    query = request.META.get("QUERY_STRING", "")
    return f"{address}?{query}" if query else address
