"""The chart of use in a browser: its legend by the keyboard, its picture, and the way to a day's hours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from superagent.local import demo
from tests.journeys.conftest import System

pytestmark = pytest.mark.browser
PNG = b"\x89PNG\r\n\x1a\n"


def test_a_legend_switches_by_the_keyboard_a_picture_is_saved_and_a_bar_opens_its_hours(
    page: Page, system: System
) -> None:
    system.manage("seed_demo")
    page.goto("/usage/?range=30d&group=method")
    page.locator("main input[name=login]").fill(demo.CUSTOMER.email)
    page.locator("main input[name=password]").fill(demo.CUSTOMER.password)
    page.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()
    entry = page.get_by_role("button", name="POST", exact=True)
    expect(entry).to_have_attribute("aria-pressed", "true")
    entry.focus()
    page.keyboard.press("Space")
    expect(entry).to_have_attribute("aria-pressed", "false")
    expect(entry).to_be_focused()
    expect(page).to_have_url(re.compile(r"hide=POST"))
    expect(page.locator(".chart-bar.series-1")).to_have_count(0)
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="PNG of the chart").click()
    assert downloaded.value.suggested_filename == "calls-by-method.png"
    assert Path(downloaded.value.path()).read_bytes().startswith(PNG)
    yesterday = page.locator(".chart-svg a").nth(-2)  # soon after midnight nothing has been called today
    yesterday.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/usage/\?group=method&start=(\d{4}-\d\d-\d\d)&end=\1"))
    expect(page.locator(".chart-table th").first).to_have_text("Hour")
