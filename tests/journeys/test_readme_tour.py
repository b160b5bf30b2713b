"""The newcomer's tour of README.md, followed to the letter: its labels are pressed, its commands are run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.journeys.conftest import PATIENCE_SECONDS, ROOT, System, eventually, running_system, window_of

pytestmark = pytest.mark.browser

SECTION = "## Five minutes: from a visitor to an invoice"
EMAIL = "tour@example.com"
PASSWORD = "correct horse battery"
NAME = "Tour Reader"


@dataclass
class Step:
    """One numbered step. What the test presses must stand in it *like this*, and all that does must be pressed."""

    text: str
    pressed: set[str] = field(default_factory=set)

    def label(self, words: str) -> str:
        assert words in self.labels, f"the step does not say *{words}*:\n{self.text}"
        self.pressed.add(words)
        return words

    @property
    def labels(self) -> set[str]:
        prose = re.sub(r"```.*?```", "", self.text, flags=re.DOTALL)
        return {" ".join(each.split()) for each in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", prose)}

    def commands(self, system: System, **variables: str) -> str:
        """The block of commands, with our ports, and our values for what ends in an ellipsis."""
        (block,) = re.findall(r"```\n(.*?)```", self.text, re.DOTALL)
        for name, value in variables.items():
            block, count = re.subn(rf"{name}=\S+…", f"{name}={value}", block)
            assert count == 1, block
        return with_ports(block, system)


@dataclass
class Tour:
    system: System
    page: Page
    staff: tuple[str, str]  # as `make run` prints it
    steps: dict[int, Step]
    organization: str = ""

    def press(self, step: Step, words: str, role: Any = "button") -> None:
        main = self.page.get_by_role("main")
        self.where(main, role, step.label(words)).first.click()

    def open_from_menu(self, step: Step, words: str) -> None:
        menu = self.page.get_by_role("navigation", name="Portal")
        menu.get_by_role("link", name=step.label(words), exact=True).click()

    @staticmethod
    def where(main: Locator, role: Any, words: str) -> Locator:
        return main.get_by_role(role, name=words, exact=True)


def with_ports(text: str, system: System) -> str:
    text = text.replace("http://127.0.0.1:8000", system.url)
    return text.replace("http://127.0.0.1:8100", system.sandbox_url)


def steps() -> dict[int, Step]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split(SECTION)[1].split("\n## ")[0]
    found = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", section, re.MULTILINE | re.DOTALL)
    return {int(number): Step(text) for number, text in found}


def shell(commands: str) -> list[Any]:
    """What each curl answers, as JSON."""
    quiet = commands.replace("curl ", "curl --silent --show-error --write-out '\\n' ")
    done = subprocess.run(
        ["bash", "-euc", quiet], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def tour_system() -> Iterator[System]:
    """As `make run` starts it: the demo's staff log in by password."""
    with running_system(ADMIN_SECOND_FACTOR="false") as running:
        yield running


@pytest.fixture
def tour(browser: Browser, tour_system: System) -> Iterator[Tour]:
    printed = tour_system.manage("seed_demo").splitlines()
    staff = next(line for line in printed if line.startswith("staff: ")).split()
    with window_of(browser, tour_system) as page:
        yield Tour(tour_system, page, (staff[1], staff[2]), steps())


def sign_up(tour: Tour, step: Step) -> None:
    page = tour.page
    page.goto(with_ports("http://127.0.0.1:8000", tour.system))
    tour.press(step, "Start for free", "link")
    page.get_by_label("Your name").fill(NAME)
    page.get_by_label("Email").fill(EMAIL)
    page.locator("input[name=password1]").fill(PASSWORD)
    tour.press(step, "Create account")
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    tour.system.mail(to=EMAIL, subject="confirm")  # it has arrived
    tour.press(step, "Open its mailbox", "link")
    page.get_by_role("row", name=EMAIL).get_by_role("link").first.click()
    href = (
        page.frame_locator("iframe")
        .first.get_by_role("link", name=re.compile("confirm", re.IGNORECASE))
        .first
    )
    page.goto(href.get_attribute("href") or "")
    tour.press(step, "Yes, confirm this address")
    page.wait_for_url("**/dashboard/")


def buy_pro(tour: Tour, step: Step) -> None:
    page = tour.page
    tour.open_from_menu(step, "Plan")
    tour.press(step, "Choose a plan", "link")
    tour.press(step, "Choose Pro", "link")
    tour.press(step, "Continue to payment")
    page.wait_for_url(f"{tour.system.sandbox_url}/c/pay/**")
    card = re.search(r"card (\d{4} \d{4} \d{4} \d{4})", step.text)
    assert card is not None
    for field_, value in {
        "cardNumber": card.group(1), "cardExpiry": "12 / 34", "cardCvc": "123", "billingName": "Any Name"
    }.items():  # fmt: skip
        page.locator(f"input[name={field_}]").fill(value)
    page.get_by_test_id("hosted-payment-submit-button").click()
    expect(page.get_by_text("Welcome to Pro")).to_be_visible()


def create_key(tour: Tour, step: Step) -> str:
    tour.open_from_menu(step, "API keys")
    tour.press(step, "Create key", "link")
    tour.page.get_by_label("Name").fill("Tour")
    tour.press(step, "Create key")
    return tour.page.locator("[data-secret-once] [data-copy-source]").inner_text().strip()


def call_the_api(tour: Tour, step: Step) -> None:
    key = create_key(tour, step)
    commands = step.commands(tour.system, KEY=key)
    quotas, first = shell(commands)
    assert {quota["meter"] for quota in quotas["data"]} >= {"ai_tokens", "api_requests"}
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert '`"duplicates":1`' in step.text
    assert (shell(commands)[1]["accepted"], shell(commands)[1]["duplicates"]) == (0, 1)


def watch(tour: Tour, step: Step) -> None:
    figure = re.search(r"([\d,]+) tokens", step.text)
    assert figure is not None
    tour.open_from_menu(step, "Dashboard")
    expect(tour.page.locator("[data-live='ai_tokens']").first).to_have_text(figure.group(1))
    tour.open_from_menu(step, "Usage")
    expect(tour.page.get_by_role("main")).to_contain_text(figure.group(1))


def hit_a_limit(tour: Tour, step: Step) -> None:
    page = tour.page
    switcher = page.locator("details.switcher")
    tour.organization = page.locator(".switcher-name").first.inner_text()
    switcher.locator("summary").click()
    switcher.get_by_role("link", name=step.label("New organization")).click()
    page.get_by_label("Name").fill("Free and small")
    tour.press(step, "Create organization")
    page.wait_for_url("**/dashboard/")
    (refused,) = shell(step.commands(tour.system, KEY=create_key(tour, tour.steps[3])))
    assert (refused["status"], refused["code"]) == (429, "quota_exceeded")
    assert refused["resets_at"]
    page.goto("/dashboard/")
    switcher.locator("summary").click()
    switcher.get_by_role("button", name=tour.organization).click()
    expect(page.locator(".switcher-name").first).to_have_text(tour.organization)


def license_a_panel(tour: Tour, step: Step) -> None:
    page = tour.page
    tour.open_from_menu(step, "Licenses")
    tour.press(step, "Buy NextPanel Professional", "link")
    page.get_by_label(re.compile("saved card|ending in", re.IGNORECASE)).check()
    page.get_by_role("button", name=re.compile(r"^Pay \$")).click()
    expect(page.get_by_role("main")).to_contain_text("Paid")
    tour.open_from_menu(step, "Licenses")
    page.get_by_role("main").get_by_role("link", name="NextPanel Professional").first.click()
    tour.press(step, "Show the key")
    page.locator("main input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    key = page.get_by_label("License key", exact=True)
    expect(key).to_have_text(re.compile(r"^NP(-[0-9A-Z]{5}){5}$"))
    (answer,) = shell(step.commands(tour.system, LICENSE_KEY=key.inner_text().strip()))
    assert (answer["valid"], answer["limit"], answer["remaining"]) == (True, 50, 50)
    assert f"{answer['limit']} databases" in step.text


def let_a_month_pass(tour: Tour, step: Step, staff: Page) -> None:
    staff.goto("/admin/")
    staff.locator("main input[name=login]").fill(tour.staff[0])
    staff.locator("main input[name=password]").fill(tour.staff[1])
    staff.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()
    staff.get_by_role("link", name=step.label("Billing accounts"), exact=True).first.click()
    for label in (
        "Attach to a Stripe test clock (permanent)",
        "Advance the test clock by a month",
        "Advance the test clock by a day",
    ):
        move_clock(staff, step, label, tour.organization)
    page = tour.page
    page.goto("/dashboard/")
    for words in ("$29.50", "250,000 tokens"):
        assert words in step.text
    invoice = page.locator("tbody tr", has_text="$29.50")

    def is_there() -> bool:
        tour.open_from_menu(step, "Invoices")
        return invoice.count() > 0

    eventually(is_there, every=0.5)
    invoice.get_by_role("link").first.click()
    expect(page.get_by_role("main")).to_contain_text("250,000 tokens")
    page.goto("/dashboard/")
    expect(page.locator("[data-live='ai_tokens']").first).to_have_text("0")


def look_behind(tour: Tour, step: Step, staff: Page) -> None:
    for address in re.findall(r"http://[\w.:]+/[\w/]+", step.text):
        answer = staff.goto(with_ports(address, tour.system))
        assert answer is not None
        assert answer.status == 200, address


def move_clock(staff: Page, step: Step, label: str, organization: str) -> None:
    """One action of the list, and the new time after some reloads."""
    mine = staff.locator("#result_list tbody tr", has_text=organization)
    before = mine.inner_text()
    mine.locator("input[type=checkbox]").check()
    staff.get_by_label("Reason").first.fill("The tour")
    staff.get_by_label("Action").first.select_option(label=step.label(label))
    with staff.expect_navigation():  # a reload in the middle of it would have no page to load again
        staff.get_by_role("button", name=step.label("Go")).first.click()

    def has_moved() -> bool:
        staff.goto(staff.url)
        shown = mine.inner_text()
        return shown != before and "Advancing to" not in shown

    eventually(has_moved, every=0.5)


def test_the_tour_of_the_readme_can_be_followed_to_the_letter(tour: Tour, browser: Browser) -> None:
    way = {1: sign_up, 2: buy_pro, 3: call_the_api, 4: watch, 5: hit_a_limit, 6: license_a_panel}
    for number, follow in way.items():
        follow(tour, tour.steps[number])
    with window_of(browser, tour.system) as staff:
        let_a_month_pass(tour, tour.steps[7], staff)
        look_behind(tour, tour.steps[8], staff)
    assert set(tour.steps) == {*way, 7, 8}
    for step in tour.steps.values():
        assert step.labels == step.pressed, step.text
