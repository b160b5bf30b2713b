"""The accessibility check itself: it finds what is wrong, in each look, under a strict Content-Security-Policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.fixtures import axe

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><head><title>A page</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
  body {{ color-scheme: light dark; color: light-dark(#111, #eee); background: light-dark(#fff, #111); }}
  {css}
</style></head><body><main><h1>A page</h1>{body}</main></body></html>"""


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def show(page: Page, body: str, css: str = "") -> None:
    page.set_content(PAGE.format(body=body, css=css))


def test_a_good_page_has_no_violations(page: Page) -> None:
    show(page, "<p>Some text.</p>")
    assert axe.violations_in_looks(page, axe.LOOKS) == []


def test_an_input_without_label_and_tiny_targets_are_found(page: Page) -> None:
    tiny = '<button style="width: 8px; height: 8px; padding: 0" aria-label="One"></button>'
    show(page, f"<input>{tiny}{tiny}")
    found = "\n".join(axe.violations(page))
    assert "label (critical) × 1: <input>" in found
    assert "target-size (serious) × 2" in found


def test_poor_contrast_in_the_dark_or_on_a_phone_is_found_there_only(page: Page) -> None:
    show(page, "<p>Dark</p>", css="p { color: light-dark(#111, #333) }")
    assert [line.split(":")[0] for line in axe.violations_in_looks(page, axe.LOOKS)] == [
        "1440 dark",
        "390 dark",
    ]
    show(page, "<p>Narrow</p>", css="@media (width < 400px) { p { color: light-dark(#ddd, #222) } }")
    assert [line.split(":")[0] for line in axe.violations_in_looks(page, axe.LOOKS)] == [
        "390 light",
        "390 dark",
    ]


def test_some_looks_show_each_width_and_each_color_scheme(page: Page) -> None:
    show(page, "<p>Dark</p>", css="p { color: light-dark(#111, #333) }")
    assert [line.split(":")[0] for line in axe.violations_in_looks(page, axe.SOME_LOOKS)] == ["390 dark"]
    show(page, "<p>Light</p>", css="p { color: light-dark(#ddd, #eee) }")
    assert [line.split(":")[0] for line in axe.violations_in_looks(page, axe.SOME_LOOKS)] == ["1440 light"]


def test_an_element_can_be_asked_alone(page: Page) -> None:
    show(page, "<input><div id=dialog><textarea></textarea></div>")
    found = "\n".join(axe.violations(page, within=page.query_selector("#dialog")))
    assert "label (critical) × 1: <textarea>" in found
    assert "<input>" not in found
