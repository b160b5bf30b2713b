"""A member of staff in a browser: made by the command line, and let into the admin with a second factor."""

from __future__ import annotations

import time

from allauth.mfa.totp.internal.auth import hotp_value
from playwright.sync_api import Page, expect

from tests.journeys.conftest import System

PASSWORD = "correct horse battery"


def enter_admin(page: Page, system: System, email: str) -> None:
    """Make a superuser and follow the first visit: login, set-up of an authenticator app, and back."""
    system.manage(
        "createsuperuser",
        "--noinput",
        f"--email={email}",
        "--full_name=Staff",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    page.context.clear_cookies()
    page.goto("/admin/")
    page.locator("main input[name=login]").fill(email)
    page.locator("main input[name=password]").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Set up two-step login first")).to_be_visible()
    page.get_by_role("link", name="Set up an authenticator app").click()
    page.locator("main input[name=password]").fill(PASSWORD)  # it asks once more who is there
    page.get_by_role("button", name="Confirm").click()
    secret = page.get_by_label("Authenticator secret").inner_text().strip()
    page.locator("input[name=code]").fill(f"{hotp_value(secret, int(time.time()) // 30):06}")
    page.get_by_role("button", name="Turn on").click()
    page.get_by_role("link", name="Go to the admin").click()
    expect(page.get_by_role("heading", name="Admin overview")).to_be_visible()
