"""Bad input on every page: said beside its field, or our own page; never a 500, never somebody else's address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User
from billing.catalog import seed
from superagent.foundation import tenancy
from superagent.settings import DATA_UPLOAD_MAX_MEMORY_SIZE
from superagent.wsgi import application
from tests.accounts.conftest import founded, page_of, person
from tests.fixtures.samples import part, sampled
from tests.test_tenants import own_patterns

pytestmark = pytest.mark.django_db

PARAMETERS = [
    "next",
    "plan",
    "product",
    "interval",
    "promotion_code",
    "cursor",
    "limit",
    "show",
    "about",
    "q",
    "since",
    "until",
    "range",
    "meter",
    "session_id",
    "status",
    "method",
    "endpoint",
    "key",
]
STRANGE = [
    "\0",
    "abc",
    "9" * 30,
    "9999-12-31",
    "0001-01-01",
    "older-" + "f" * 32,
    "newer-x",
    "[]",
    "x" * 3000,
]
WRITTEN = ["", "a\0b", "x" * 10_000, "9" * 30, "[]", "ada@acme.example"]
FIELDS = [
    "name",
    "email",
    "full_name",
    "organization_name",
    "password",
    "password1",
    "role",
    "scopes",
    "lifetime",
    "once",
    "grace_seconds",
    "organization",
    "next",
    "effective_at",
    "interval",
    "max_amount_due",
    "reason",
    "promotion_code",
    "payment",
    "max_total",
]
ELSEWHERE = [
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "evil",
    "/" * 600,
]


@pytest.fixture
def ada(db: None, settings: Any) -> User:
    settings.THROTTLES = dict.fromkeys(settings.THROTTLES, (10_000, 60))
    with tenancy.system("test"):
        seed.write()
    owner = person("ada@acme.example")
    founded("Acme", owner)
    return owner


def addresses() -> list[str]:
    arguments = {"plan-change": ["pro"], "license-buy": ["nextpanel-starter"], "invitation": ["abc"]}
    found = [
        name for name, each in own_patterns().items() if name in arguments or not each.pattern.regex.groups
    ]
    return [reverse(name, args=arguments.get(name)) for name in found if name != "api:usage-stream"]


def pages() -> list[str]:
    return [address for address in addresses() if not address.startswith("/api/")]


def check(answer: Any, said: str) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, f"{said}: {answer.status_code}"
    location = answer.headers.get("Location", "/")
    is_ours = url_has_allowed_host_and_scheme(location[:1000], allowed_hosts=None)
    assert is_ours, f"{said}: {location}"


@sampled(3)
def test_queries(ada: User, step: int):
    client = page_of(ada)
    client.raise_request_exception = False
    for turn, page in enumerate(pages()):
        for name in part(PARAMETERS, step=step, turn=turn):
            strange = STRANGE[(len(page) + len(name)) % len(STRANGE)]
            check(client.get(page, {name: strange}), f"{page}?{name}={strange[:20]!r}")


@sampled(3)
def test_forms(ada: User, step: int):
    for turn, page in enumerate(pages()):
        if page in ("/settings/profile/close/", "/billing/card/"):
            continue
        for strange in part(WRITTEN, step=step, turn=turn):
            client = page_of(ada)
            client.raise_request_exception = False
            check(client.post(page, dict.fromkeys(FIELDS, strange)), f"{page} {strange[:10]!r}")


@pytest.mark.parametrize("next_", ELSEWHERE)
def test_no_address_of_another_site_is_followed(ada: User, next_: str):
    with tenancy.system("test"):
        organization = ada.memberships.get().organization
    client = page_of(ada)
    assert client.get("/verify-email/", {"next": next_})["Location"] == "/dashboard/"
    body = {"organization": str(organization.pk), "next": next_}
    assert client.post("/organizations/switch/", body)["Location"] == "/dashboard/"
    form = {
        "full_name": "Eve",
        "email": "eve@engines.example",
        "password1": "seven words that nobody guesses",
    }
    Client().post(f"/accounts/signup/?{urlencode({'next': next_})}", form)
    assert User.objects.get(email="eve@engines.example").continue_to == ""


def test_a_page_of_this_site_is(ada: User):
    assert page_of(ada).get("/verify-email/", {"next": "/billing/"})["Location"] == "/billing/"


def test_a_nul_in_a_query_is_our_page_in_debug_too(ada: User, settings: Any):
    settings.DEBUG = True
    answer = page_of(ada).get("/checkout/", {"plan": "\0"})
    assert answer.status_code == 400
    assert "Traceback" not in answer.content.decode()


def test_an_address_with_a_line_end_is_our_page(settings: Any):
    settings.DEBUG = True
    answer = Client().get("/a%0Ab")
    assert (answer.status_code, answer.templates[0].name) == (404, "404.html")
    assert Client().get("/api/v1/a%0Ab").headers["Content-Type"] == "application/problem+json"


def test_the_trail_until_the_last_day_there_is(ada: User):
    assert page_of(ada).get("/audit/", {"until": "9999-12-31", "since": "0001-01-01"}).status_code == 200
    today = timezone.now().date().isoformat()
    assert page_of(ada).get("/audit/", {"until": today, "since": today}).context["page"].rows


@pytest.mark.parametrize(
    "form",
    [{str(number): "1" for number in range(2000)}, {"name": "x" * (DATA_UPLOAD_MAX_MEMORY_SIZE + 1)}],
    ids=["fields", "bytes"],
)
def test_a_form_that_is_too_large_is_our_page_in_debug_too(ada: User, settings: Any, form: dict[str, str]):
    settings.DEBUG = True
    body = urlencode(form)
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/settings/", body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.templates[0].name) == (400, "400.html")


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    """The application that is served: Django's test client makes its requests in its own way."""
    ends = (request_started, request_finished)
    for signal in ends:  # they would close the connection of the test
        signal.disconnect(close_old_connections)
    with httpx.Client(transport=httpx.WSGITransport(application), base_url="http://127.0.0.1") as client:
        yield client
    for signal in ends:
        signal.connect(close_old_connections)


@pytest.mark.parametrize("path", ["/accounts/login/", "/nothing/here"])
@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "zip"])
def test_a_form_in_another_encoding_is_our_page_in_debug_too(
    web: httpx.Client, settings: Any, path: str, charset: str
):
    """Django's own page for developers read the form again, and failed again, in every middleware: for minutes."""
    settings.DEBUG = True
    content_type = f"application/x-www-form-urlencoded; charset={charset}"
    answer = web.post(path, content=b"login=me", headers={"Content-Type": content_type})
    assert answer.status_code == 400 and "Traceback" not in answer.text
    assert "<html" in answer.text


@pytest.mark.parametrize(
    "path", ["/?plan=pro", "/accounts/login/?next=/billing/", "/api/v1/licenses/public-keys?fields=data"]
)
def test_what_a_body_is_said_to_be_written_in_is_not_asked_of_the_address(web: httpx.Client, path: str):
    """`zip` is an encoding too, for Python: any address with a query was a bare 500."""
    plain = web.get(path)
    assert plain.status_code < 500
    assert web.get(path, headers={"Content-Type": "text/html; charset=zip"}).status_code == plain.status_code
