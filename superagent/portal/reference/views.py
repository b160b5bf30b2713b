"""/api/schema/, for programs, and /api/docs/, for people."""

import json
from functools import cache

import yaml
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from superagent.foundation import problems
from superagent.foundation import schema as foundation_schema
from superagent.foundation.problems import Invalid
from superagent.portal.public_pages import public_page
from superagent.portal.reference import page

CONTENT_TYPES = {"json": "application/json", "yaml": "application/vnd.oai.openapi"}


@login_not_required
@require_safe
@conditional_page
@cache_control(public=True, max_age=300)
def schema(request: HttpRequest) -> HttpResponse:
    """As JSON, or as YAML: by `?format=` or else by `Accept`."""
    by_accept = "yaml" if "yaml" in request.headers.get("Accept", "") else "json"
    kind = request.GET.get("format", by_accept)
    if kind not in CONTENT_TYPES:
        refusal = Invalid.field("/format", "invalid", "Choose json or yaml.")
        return problems.json_response(request, refusal)
    return HttpResponse(_written(kind), content_type=CONTENT_TYPES[kind], headers={"Vary": "Accept"})


@login_not_required
@require_safe
@public_page()
def index(request: HttpRequest) -> HttpResponse:
    """The introduction, and the way to every operation."""
    context = {"areas": page.areas(), "introduction": page.introduction()}
    return render(request, "reference/index.html", context)


@login_not_required
@require_safe
@public_page()
def area(request: HttpRequest, slug: str) -> HttpResponse:
    """The operations of one area."""
    found = next((each for each in page.areas() if each.slug == slug), None)
    if found is None:
        raise Http404
    context = {"areas": page.areas(), "area": found, "operations": _operations(slug, get_language())}
    return render(request, "reference/area.html", context)


@cache
def _operations(slug: str, language: str) -> SafeString:
    """The part of the page that is the same for everyone, which is nearly all of it."""
    found = next(each for each in page.areas() if each.slug == slug)
    return render_to_string("reference/operations.html", {"area": found})


@cache
def _written(kind: str) -> bytes:
    document = foundation_schema.document()
    if kind == "json":
        return json.dumps(document, default=str, ensure_ascii=False).encode()
    text: str = yaml.dump(document, sort_keys=False, allow_unicode=True, Dumper=_Plain, width=120)
    return text.encode()


class _Plain(yaml.SafeDumper):
    """No anchors: parts that are shared in memory are written out, as every reader expects."""

    def ignore_aliases(self, data: object) -> bool:
        return True
