"""The command palette and the new key in Chromium. Pages are rendered beforehand; no server is needed."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Page, Route, expect, sync_playwright

from tests.journeys.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.test_tenants import World, portal_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

ORIGIN = "http://testserver"
KEY = "sa_test_abcdefghijklmnopqrstuvwxyz"


@dataclass
class Portal:
    """A window whose server is a list of pages, and what it asked the search for."""

    page: Page
    pages: dict[str, str]
    hits: dict[str, str]
    invoice: str
    asked: list[str] = field(default_factory=list)

    def answer(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.path == "/search/":
            self.asked.append(parse_qs(address.query)["q"][0])
            route.fulfill(body=self.hits.get(self.asked[-1], ""), headers={"Content-Type": "text/html"})
        elif address.path in self.pages:
            route.fulfill(body=self.pages[address.path], headers={"Content-Type": "text/html"})
        elif address.path.startswith("/static/") and (
            file := finders.find(address.path.removeprefix("/static/"))
        ):
            kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
            route.fulfill(path=file, headers={"Content-Type": kind})
        elif route.request.is_navigation_request():
            route.fulfill(body="<title>elsewhere</title>", headers={"Content-Type": "text/html"})
        else:
            route.fulfill(status=204)

    def open(self, text: str = "") -> None:
        self.page.goto(f"{ORIGIN}/settings/")
        self.page.keyboard.press("Control+k")
        self.page.keyboard.type(text)


@pytest.fixture
def portal(db: None) -> Iterator[Portal]:
    world = World()
    owner = portal_of(world.owner)
    once = re.search(r'name="once" value="([^"]+)"', owner.get("/api-keys/new/").content.decode())
    assert once is not None
    form = {"name": "New", "scopes": ["usage:write"], "lifetime": "90", "once": once.group(1)}
    pages = {
        "/settings/": owner.get("/settings/").content.decode(),
        "/made/": owner.post("/api-keys/new/", form).content.decode(),
    }
    hits = {
        text: owner.get("/search/", {"q": text}, headers={"HX-Request": "true"}).content.decode()
        for text in ("GLOBEX-1", "globex")
    }
    invoice = f"/invoices/{world.arguments()['invoice']['invoice_id']}/"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        window = Portal(chromium.new_page(), pages, hits, invoice)
        window.page.route("**/*", window.answer)
        yield window
        chromium.close()


def test_the_palette_and_a_new_key(portal: Portal) -> None:
    page = portal.page
    portal.open()
    page.keyboard.press("Enter")  # the first choice leads to a page, and begins nothing
    page.wait_for_url("**/dashboard/")

    portal.open("GLOBEX-1")
    page.keyboard.press("Enter")  # before the answer is here: it is waited for
    page.wait_for_url(f"**{portal.invoice}")
    assert portal.asked == ["GLOBEX-1"]

    portal.open("globex")
    expect(page.get_by_role("option", name="GLOBEX-1")).to_be_visible()

    portal.open("usage")
    expect(page.get_by_role("option").first).to_contain_text("Usage")

    portal.open("new organization")
    expect(page.get_by_role("option").first).to_contain_text("New organization")

    portal.asked.clear()
    portal.open(KEY)
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert KEY not in portal.asked  # a secret that is pasted does not leave the browser
    assert portal.asked[-1] == "sa_test_abcd"

    page.goto(f"{ORIGIN}/made/")
    key = page.locator("[data-secret-once] [data-copy-source]")
    key.dblclick()
    assert page.evaluate("getSelection().toString().trim()") == key.inner_text().strip()
