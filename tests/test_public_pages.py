"""Public pages are served from memory: to visitors only, until the catalog changes."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.catalog import seed, versions
from billing.models import Plan, Price, Product
from superagent.foundation import tenancy
from superagent.portal import public_pages
from tests.accounts.conftest import founded, page_of, person

PAGES = ("/", "/?interval=year", "/docs/problems", "/api/docs/", "/api/docs/billing/")


@pytest.fixture
def catalog(transactional_db: None) -> None:
    with tenancy.system("test"):
        seed.write()


def pro() -> Product:
    return Product.objects.get(slug="pro")


def rename(product: Product) -> None:
    product.name = "Zebra plan"
    product.save()


@pytest.mark.parametrize("path", PAGES)
def test_a_visitor_is_served_the_same_page_without_a_question_to_the_database(catalog: None, path: str):
    first = Client().get(path)
    with CaptureQueriesContext(connection) as asked:
        second = Client().get(path)
    assert second.content == first.content and first.status_code == 200
    assert len(asked) == 0


@pytest.mark.parametrize("path", PAGES)
def test_a_page_that_has_not_changed_is_answered_by_304(catalog: None, path: str):
    first = Client().get(path)
    again = Client().get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert {"Cookie", "Accept-Language", "Accept-Encoding"} <= set(again["Vary"].replace(" ", "").split(","))
    assert Client().get(path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_head_has_the_headers_of_get_and_no_body(catalog: None):
    page, head = Client().get("/"), Client().head("/")
    assert (head.status_code, head.content, head["ETag"]) == (200, b"", page["ETag"])


def test_the_packed_page_is_the_page(catalog: None):
    plain = Client().get("/")
    packed = Client().get("/", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain
    assert gzip.decompress(packed.content) == plain.content
    assert "Content-Security-Policy" in packed and "X-Request-Id" in packed


def test_interval_theme_and_host_have_their_own_pages_and_what_nobody_reads_has_not(
    catalog: None, settings: Any
):
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]
    month = Client().get("/").content
    assert Client().get("/?interval=year").content != month
    assert Client().get("/?interval=never&utm_source=x").content == month
    dark = Client()
    dark.cookies["theme"] = "dark"
    assert (
        b'data-theme="dark"' in dark.get("/").content and b'data-theme="system"' in Client().get("/").content
    )
    assert b"other.example" in Client().get("/", headers={"Host": "other.example"}).content
    assert b"other.example" not in Client().get("/").content


def test_who_is_logged_in_gets_a_page_of_their_own_and_leaves_none_behind(catalog: None):
    visitor = Client().get("/").content
    owner = person("olga@acme.example")
    founded("Acme", owner)
    member = page_of(owner).get("/")
    assert b'href="/dashboard/"' in member.content and b'href="/accounts/login/"' not in member.content
    assert "ETag" not in member and "no-store" in member["Cache-Control"]
    assert Client().get("/").content == visitor and b'href="/dashboard/"' not in visitor


def test_a_message_that_waits_is_shown_to_its_reader_only(catalog: None):
    owner = person("olga@acme.example")
    founded("Acme", owner)
    client = page_of(owner)
    client.post("/accounts/logout/")
    assert b'class="messages"' in client.get("/").content
    assert b'class="messages"' not in Client().get("/").content


def test_a_change_of_the_catalog_is_seen_at_once_when_it_is_committed(catalog: None):
    assert b"Zebra plan" not in Client().get("/").content
    with tenancy.system("test"), transaction.atomic():
        rename(pro())
        before = cache.get(public_pages.GENERATION)
    assert cache.get(public_pages.GENERATION) != before
    assert b"Zebra plan" in Client().get("/").content


def test_a_change_that_is_rolled_back_empties_nothing(catalog: None):
    Client().get("/")
    before = cache.get(public_pages.GENERATION)
    with pytest.raises(RuntimeError), tenancy.system("test"), transaction.atomic():
        rename(pro())
        raise RuntimeError
    assert cache.get(public_pages.GENERATION) == before
    assert b"Zebra plan" not in Client().get("/").content


def test_a_version_that_is_published_shows_its_price(catalog: None):
    with tenancy.system("test"):
        version = versions.new_version(Plan.objects.get(product__slug="pro", is_published=True))
        Price.objects.filter(plan=version, interval="month").update(unit_amount=77_700)
    assert b"$777" not in Client().get("/").content
    with tenancy.system("test"):
        versions.publish(version)
    assert b"$777" in Client().get("/").content


def test_without_redis_each_page_is_drawn_and_right(catalog: None, monkeypatch: pytest.MonkeyPatch):
    Client().get("/")
    monkeypatch.setattr(cache, "get", lambda *args, **kwargs: None)
    answer = Client().get("/")
    assert answer.status_code == 200 and b"Start for free" in answer.content and "ETag" not in answer


def test_a_page_gets_old(catalog: None, monkeypatch: pytest.MonkeyPatch):
    """What no signal tells of, such as a price that was corrected by SQL, shows after some minutes."""
    Client().get("/")
    with tenancy.system("test"):
        Product.objects.filter(slug="pro").update(name="Zebra plan")
    assert b"Zebra plan" not in Client().get("/").content
    now = public_pages.time.monotonic()
    monkeypatch.setattr(public_pages.time, "monotonic", lambda: now + public_pages.MOST_AGE_SECONDS + 1)
    assert b"Zebra plan" in Client().get("/").content


def test_memory_is_bounded(catalog: None, monkeypatch: pytest.MonkeyPatch, settings: Any):
    monkeypatch.setattr(public_pages, "MOST_PAGES", 2)
    settings.ALLOWED_HOSTS = ["*"]
    for number in range(5):
        Client().get("/docs/problems", headers={"Host": f"h{number}.example"})
    assert len(public_pages._copies) <= 2


def test_an_area_that_there_is_not_is_not_kept(catalog: None):
    for _ in range(2):
        assert Client().get("/api/docs/nothing/").status_code == 404
