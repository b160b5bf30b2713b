"""The headers that keep browsers safe: on pages, on the API, and for an https installation."""

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from accounts import organizations
from accounts.models import User
from superagent.foundation import tenancy

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def directives(response) -> dict[str, str]:
    pairs = (part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
    return dict(pairs)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/accounts/login/",
        "/docs/problems",
        "/api/docs/",
        "/api/docs/billing/",
        "/nothing/",
        "/admin/login/",
    ],
)
def test_pages_carry_the_strict_policy(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    found = directives(response)
    assert {name: found.get(name) for name in POLICY} == POLICY
    assert found["form-action"].startswith("'self'")
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["/", "/accounts/login/", "/docs/problems", "/api/docs/", "/api/docs/usage/", "/admin/login/"]
)
def test_pages_hold_nothing_inline(client: Client, db: None, path: str) -> None:
    html = client.get(path).content.decode()
    assert "style=" not in html
    assert "<style" not in html
    assert " onclick=" not in html
    for script in html.split("<script")[1:]:
        opening, _, rest = script.partition(">")
        is_data = 'type="application/json"' in opening
        assert is_data or rest.startswith("</script>")


def test_cookies_are_kept_from_scripts_and_foreign_sites(client: Client, db: None) -> None:
    client.get("/accounts/login/")
    cookie = client.cookies[django_settings.CSRF_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert django_settings.SESSION_COOKIE_HTTPONLY


def test_https_is_demanded_of_an_https_installation(client: Client, settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    settings.ALLOWED_HOSTS = ["app.superagent.example"]
    fresh = Client(SERVER_NAME="app.superagent.example")
    assert fresh.get("/robots.txt")["Location"] == "https://app.superagent.example/robots.txt"
    assert fresh.get("/health/live").status_code == 200  # load balancers ask by http
    secure = fresh.get("/robots.txt", secure=True)
    assert secure["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"


def test_cors_is_for_the_api_and_for_named_origins(client: Client, db: None, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://dashboard.customer.example"]
    allow = "Access-Control-Allow-Origin"

    def asked(path: str, origin: str):
        return client.get(path, headers={"Origin": origin})

    api = "/api/v1/licenses/public-keys"
    assert asked(api, "https://dashboard.customer.example")[allow] == "https://dashboard.customer.example"
    assert allow not in asked(api, "https://evil.example").headers
    assert allow not in asked("/", "https://dashboard.customer.example").headers


def test_the_api_needs_no_cookie_and_sets_none(client: Client, db: None) -> None:
    response = client.get("/api/v1/licenses/public-keys")
    assert not response.cookies
    assert "Vary" not in response.headers or "Cookie" not in response["Vary"]


def test_nothing_keeps_a_copy_of_what_is_somebodys_own(client: Client, db: None) -> None:
    user = User.objects.create(email="ada@engines.example")
    with tenancy.system("test"):
        organizations.create(name="Engines", owner=user, now=timezone.now())
    client.force_login(user)
    for address in ("/dashboard/", "/api-keys/", "/members/", "/audit/", "/requests/", "/settings/"):
        response = client.get(address, follow=True)
        assert response.status_code == 200, address
        assert "no-store" in response["Cache-Control"], address
    assert client.get("/api/v1/auth/me")["Cache-Control"] == "no-store"


def test_what_is_everybodys_may_be_kept(client: Client, db: None) -> None:
    assert "no-store" not in client.get("/docs/problems")["Cache-Control"]
    assert Client().get("/")["Cache-Control"] == "public, no-cache"  # kept, and asked about by its ETag
