"""Errors on pages and in the API: unknown addresses, a lost database, a failure of ours."""

import html
import shutil

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client

from metering.request_path import spool


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


def test_unknown_addresses_answer_in_the_readers_language(client: Client, db: None) -> None:
    page = client.get("/nothing/here/")
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    answer = client.get("/api/v1/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer["X-Request-Id"]


def test_a_page_is_found_without_its_closing_slash(client: Client, db: None) -> None:
    response = client.get("/licenses?x=1")
    assert (response.status_code, response["Location"]) == (301, "/licenses/?x=1")


@pytest.mark.parametrize("address", ["/api/v1/licenses/public-keys", "/"])
def test_a_lost_database_is_503_and_asks_for_another_try(
    client: Client, db: None, monkeypatch, address: str
) -> None:
    from billing.catalog import pricing
    from licensing import signing

    def fail() -> None:
        raise OperationalError("connection to server failed")

    monkeypatch.setattr(signing, "public_keys", fail)
    monkeypatch.setattr(pricing, "plan_offers", fail)
    client.raise_request_exception = False
    response = client.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    if address.startswith("/api/"):
        assert response.json()["code"] == "temporarily_unavailable"
    else:
        assert "We can't answer right now" in html.unescape(response.content.decode())


def test_a_failure_tells_the_request_id_and_nothing_else(db: None, monkeypatch) -> None:
    from licensing import signing

    def fail() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(signing, "public_keys", fail)
    response = Client(raise_request_exception=False).get("/api/v1/licenses/public-keys")
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert response.json()["code"] == "internal_error"
    assert "secret detail" not in response.content.decode()
