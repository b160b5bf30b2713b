"""Every page of customers and visitors in Chromium: axe finds nothing wrong, and nothing is wider than the screen.

Wide and narrow, light and dark, for an organization with something of everything and for a new one, with every dialog
and menu open. In `make test`, wide is light and narrow is dark, and pages whose kinds of element have been seen on
others are not asked for what styles can break. The addresses are those of the URL configuration, so that a new page is
covered by itself. Django renders the pages beforehand; the browser gets them from a server in this process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from allauth.account.models import EmailConfirmationHMAC
from django.test import Client
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from accounts.models import User
from billing.catalog import seed
from superagent.foundation import tenancy
from tests.accounts.conftest import founded, person
from tests.fixtures import axe
from tests.fixtures.shown_pages import ORIGIN, PageServer, page_server
from tests.journeys.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.test_addresses import ARGUMENTS
from tests.test_tenants import World, patterns, portal_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

NARROWEST = 320
# Plain text and JSON, for machines and operators; and the parts that htmx puts into pages, which have them already.
NOT_PAGES = (
    "/api/v1/",
    "/api/schema/",
    "/metrics",
    "/health/",
    "/robots.txt",
    "/.well-known/",
    "/favicon.ico",
    "/stripe/",
    "/usage/export.csv",
    "/usage/chart.csv",
)
TEXT = re.compile(r">[^<]+<")
CONTENT = re.compile(r"""\s(?!class=|role=|type=|aria-current=)[\w:-]+=("[^"]*"|'[^']*')""")
ELEMENT = re.compile(r"<[a-z][^>]*>")
OF_ONE_MODEL = re.compile(
    r"\b(field|column|model|app|fieldBox)-[\w.-]+"
)  # classes that the admin gives by name
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Shot:
    """A page as Django rendered it for someone."""

    who: str
    path: str
    html: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.who} {self.path}"

    @property
    def form(self) -> str:
        """The elements without their content: a page of the same form has nothing new to find."""
        return CONTENT.sub("", TEXT.sub("><", self.html))

    @property
    def kinds(self) -> set[str]:
        """The kinds of element that the page is made of: each tag with its classes and its role."""
        return set(ELEMENT.findall(OF_ONE_MODEL.sub("", self.form)))


def addresses(world: World) -> Iterator[str]:
    ids = world.arguments()
    for name, _ in patterns():
        try:
            address = reverse(name, args=ARGUMENTS.get(name), kwargs=ids.get(name))
        except NoReverseMatch:
            continue
        if not address.startswith(NOT_PAGES):
            yield address


def shot(who: str, answer: Any) -> Shot | None:
    """None for what is no page: a redirect, or a file."""
    if answer.streaming or not answer.headers.get("Content-Type", "").startswith("text/html"):
        return None
    html = answer.content.decode()
    if "<html" not in html:
        return None
    kept = {
        name: answer.headers[name]
        for name in ("Content-Security-Policy", "Content-Type")
        if name in answer.headers
    }
    return Shot(who, answer.wsgi_request.get_full_path(), html, kept)


def opened(who: str, client: Client, paths: Iterator[str] | list[str]) -> list[Shot]:
    """What each path shows, without what was shown before."""
    found: dict[str, Shot] = {}
    for path in paths:
        page = shot(who, client.get(path, follow=True))
        if page is not None:
            found.setdefault(page.path, page)
    return list(found.values())


def states(world: World, founder: User) -> list[Shot]:
    """What no address alone shows: filters that match nothing, forms that come back, what a POST answers, refusals."""
    owner, viewer = portal_of(world.owner), portal_of(world.member)
    once = re.search(r'name="once" value="([^"]+)"', owner.get("/api-keys/new/").content.decode())
    assert once is not None
    key = {
        "name": "Production",
        "scopes": ["usage:write", "quotas:read"],
        "lifetime": "90",
        "once": once.group(1),
    }
    nothing = [
        "/requests/?method=DELETE",
        "/invoices/?status=draft",
        "/audit/?q=nobody",
        "/requests/?since=30d",
    ]
    shots = opened("no match:", owner, nothing)
    shots += opened(
        "unpaid:", portal_of(founder), ["/checkout/canceled/", "/checkout/confirm/?session_id=cs_unknown"]
    )
    shots += opened(
        "viewer:", viewer, ["/billing/", "/api-keys/", "/members/invite/", "/settings/", "/licenses/"]
    )
    shots += opened("nowhere:", owner, ["/nothing-here", "/invoices/00000000-0000-0000-0000-000000000000/"])
    shots += opened("visitor nowhere:", Client(), ["/nothing-here"])
    forms = ["/api-keys/new/", "/members/invite/", "/settings/", "/settings/profile/", "/organizations/new/"]
    shots += [shot("refused form:", owner.post(path, {})) for path in [*forms, "/accounts/password/change/"]]
    shots += [
        shot("refused form:", Client().post(path, {})) for path in ("/accounts/signup/", "/accounts/login/")
    ]
    shots += [shot("made:", owner.post("/api-keys/new/", key)), shot("wrong method:", owner.post("/usage/"))]
    shots.append(shot("stale form:", Client(enforce_csrf_checks=True).post("/accounts/login/", {})))
    confirmation = EmailConfirmationHMAC(founder.emailaddress_set.get()).key
    shots += opened("from a mail:", Client(), [reverse("account_confirm_email", args=[confirmation])])
    assert None not in shots
    return [each for each in shots if each is not None]


@pytest.fixture
def shots(db: None, settings: Any) -> list[Shot]:
    settings.THROTTLES = dict.fromkeys(settings.THROTTLES, (10_000, 60))
    with tenancy.system("test"):
        seed.write()
    world = World()
    founder = person("nia@newcomers.example", verified=False)
    founded("Newcomers", founder)
    paths = list(addresses(world))
    every = [
        *opened("full:", portal_of(world.owner), paths),
        *opened("new:", portal_of(founder), [path for path in paths if not UUID.search(path)]),
        *opened("visitor:", Client(), paths),
        *states(world, founder),
    ]
    different = {each.form: each for each in reversed(every)}.values()
    return sorted(different, key=lambda each: len(each.html))  # what all pages have is opened on a small one


class Window:
    """A browser window whose server is a list of pages."""

    def __init__(self, page: Page, server: PageServer, looks: Sequence[axe.Look]) -> None:
        self.page = page
        self.server = server
        self.looks = looks
        self.shown: Shot | None = None
        self.problems: list[str] = []
        self.overlays: set[str] = set()
        page.on("pageerror", lambda error: self.problems.append(f"{self.shown}: {error}"))
        page.on("console", self._hear)

    def _hear(self, said: ConsoleMessage) -> None:
        """What a page says; axe, which has no address, tries styles of its own."""
        if said.location["url"] and (said.type == "error" or "Content Security Policy" in said.text):
            self.problems.append(f"{self.shown}: {said.text}")

    def open(self, shot: Shot) -> None:
        self.shown = shot
        self.server.show(shot.html, shot.headers)
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.page.goto(ORIGIN + shot.path, wait_until="load")

    def check(self, shot: Shot) -> None:
        self.open(shot)
        self.page.evaluate(
            "for (const each of document.querySelectorAll('details:not(.menu)')) each.open = true"
        )
        self.note(axe.violations_in_looks(self.page, self.looks))
        self._measure()
        self._open_overlays()

    def check_elements(self, shot: Shot) -> None:
        """All but what depends on styles, which takes longest to find out."""
        self.open(shot)
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.note(axe.violations(self.page, without=axe.OF_STYLES))

    def note(self, lines: list[str], where: str = "") -> None:
        self.problems += [f"{self.shown}{where}: {line}" for line in lines]

    def _measure(self) -> None:
        for width in (NARROWEST, *axe.WIDTHS):
            self.page.set_viewport_size({"width": width, "height": 900})
            over = self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if over > 0:
                self.problems.append(f"{self.shown}: {over} px wider than a screen of {width}")

    def _open_overlays(self) -> None:
        """Every dialog, drawer and menu, each once: those of the frame are on all pages."""
        for number, name in enumerate(self.page.evaluate(f"{OVERLAYS}.map(({{name}}) => name)")):
            known = UUID.sub("…", name)
            if known in self.overlays:
                continue
            for width in axe.WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 900})
                if not self.page.evaluate(f"(number) => {OVERLAYS}[number].open()", number):
                    continue
                self.overlays.add(known)
                for scheme, rules in (("light", None), ("dark", axe.CONTRAST)):
                    self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                    element = self.page.evaluate_handle(f"(number) => {OVERLAYS}[number].element", number)
                    found = axe.violations(self.page, rules=rules, within=element)
                    self.note(found, f" with {known} open, {width} {scheme}")
                self.page.evaluate(f"(number) => {OVERLAYS}[number].close()", number)


# What can be opened on a page: its name and element, how it opens (false where this width does not show it) and closes.
OVERLAYS = """[
    ...[...document.querySelectorAll("dialog[id]")].map((each) => ({
        name: `dialog ${each.id}`,
        element: each,
        open: () => {
            if (each.id === "palette") document.dispatchEvent(new CustomEvent("ui:palette"));
            else each.showModal();
            return true;
        },
        close: () => each.close(),
    })),
    ...[...document.querySelectorAll("#sidebar[popover]")].map((each) => ({
        name: "the drawer",
        element: each,
        open: () => innerWidth < 1024 && (each.showPopover(), true),
        close: () => each.hidePopover(),
    })),
    ...[...document.querySelectorAll("details.menu")].map((each) => ({
        name: `menu ${each.className}`,
        element: each,
        open: () => {
            const drawer = each.closest("#sidebar");
            if (drawer && innerWidth < 1024) drawer.showPopover();
            each.open = true;
            return each.checkVisibility();
        },
        close: () => { each.open = false; each.closest("#sidebar:popover-open")?.hidePopover(); },
    })),
]"""


def with_something_new(shots: list[Shot]) -> list[Shot]:
    """Enough of them to see every kind of element: those that show most kinds that no page before has shown."""
    chosen: list[Shot] = []
    rest = [(each, each.kinds) for each in shots]
    seen: set[str] = set()
    while rest:
        best, kinds = max(rest, key=lambda pair: len(pair[1] - seen))
        seen |= kinds
        chosen.append(best)
        rest = [(each, left) for each, left in rest if left - seen]
    return chosen


def test_axe_finds_nothing_on_any_page(shots: list[Shot]) -> None:
    check(shots, wholly=with_something_new(shots), looks=axe.SOME_LOOKS)


@pytest.mark.verify
def test_axe_finds_nothing_on_any_page_in_every_look_and_nothing_is_wider_than_the_screen(
    shots: list[Shot],
) -> None:
    check(shots, wholly=shots, looks=axe.LOOKS)


def check(
    shots: list[Shot], *, wholly: list[Shot], looks: Sequence[axe.Look], scripts: dict[str, str] | None = None
) -> None:
    with page_server(scripts) as server, sync_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, server.chromium_flag]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = chromium.new_page(color_scheme="light", reduced_motion="reduce")
        window = Window(page, server, looks)
        for each in wholly:
            window.check(each)
        for each in shots:
            if each not in wholly:
                window.check_elements(each)
        chromium.close()
    assert not window.problems, "\n".join(window.problems)
