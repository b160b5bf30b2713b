"""Public pages: robots.txt, the security contact and the landing page."""

import re
import shutil

import pytest
from django.conf import settings
from django.test import Client

from metering.request_path import spool
from superagent.foundation import tenancy


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


def test_robots_and_security_contact(client: Client, settings) -> None:
    settings.SECURITY_CONTACT = "security@superagent.example"
    assert "Disallow: /admin/" in client.get("/robots.txt").content.decode()
    text = client.get("/.well-known/security.txt").content.decode()
    assert "Contact: mailto:security@superagent.example" in text
    assert re.search(r"^Expires: \d{4}-01-01T00:00:00Z$", text, re.MULTILINE)
    assert client.get("/favicon.ico")["Location"].endswith("/img/favicon.svg")


def test_the_landing_page_shows_what_is_on_sale(client: Client, db: None) -> None:
    from billing.catalog import seed

    with tenancy.system("test"):
        seed.write()
    html = client.get("/").content.decode()
    for text in ("Pro", "$29", "Enterprise", "$299", "NextPanel Professional", "$19"):
        assert text in html
    assert client.get("/?interval=year").status_code == 200
