"""Mails in a browser, as mail programs show them: nothing is wider than the window, whatever the address in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from playwright.sync_api import sync_playwright

from tests.journeys.conftest import CHROMIUM, CHROMIUM_FLAGS

pytestmark = pytest.mark.browser
TEMPLATES = sorted(
    str(path.relative_to(settings.BASE_DIR / "templates"))
    for path in (settings.BASE_DIR / "templates").rglob("email/*.html")
    if Path(path).with_suffix(".subject.txt").exists()
)
LONG = "https://app.example.com/accounts/confirm-email/" + "W" * 160
WORDS = {
    "subject": "A mail", "public_url": "https://app.example.com", "product": "SuperAgent", "link": LONG, "url": LONG,
    "organization": "W" * 60, "paragraphs": ["A paragraph with " + "W" * 90], "heading": "Heading", "amount": "$29.00",
    "lines": [{"description": "W" * 70, "amount": "$1,234,567.00"}], "what": "W" * 90, "reason": "W" * 90,
}  # fmt: skip


def test_no_mail_is_wider_than_its_window() -> None:
    assert len(TEMPLATES) > 20
    too_wide = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = chromium.new_page()
        for template in TEMPLATES:
            page.set_content(render_to_string(template, WORDS))
            for width in (927, 390):
                page.set_viewport_size({"width": width, "height": 700})
                over = page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                if over > 0:
                    too_wide.append(f"{template}: {over} px at {width}")
        chromium.close()
    assert not too_wide, too_wide
