"""What Django's own checks cannot see, because our middleware wraps its middleware (SILENCED_SYSTEM_CHECKS)."""

import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_pages_cannot_be_framed(client: Client) -> None:
    answer = client.get(reverse("account_login"))
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_nothing_inline_is_allowed(client: Client) -> None:
    policy = client.get(reverse("account_login")).headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "style-src 'self';" in policy + ";"
    assert "unsafe" not in policy


def test_forms_need_a_token() -> None:
    answer = Client(enforce_csrf_checks=True).post(
        reverse("account_login"), {"login": "a@b.example", "password": "x"}
    )
    assert answer.status_code == 403


def test_every_answer_names_its_request(client: Client) -> None:
    answer = client.get(reverse("account_login"), headers={"X-Request-Id": "from-the-proxy-1"})
    assert answer.headers["X-Request-Id"] == "from-the-proxy-1"
    assert (
        len(
            client.get(reverse("account_login"), headers={"X-Request-Id": "<script>"}).headers["X-Request-Id"]
        )
        == 32
    )
