"""What the settings become for an https installation, and what they are when nothing is set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import PRODUCTION, ROOT

SHOWN = (
    "DEBUG", "IS_SECURE", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME",
    "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD",
    "STRIPE_USES_SANDBOX", "STRIPE_LIVE_MODE", "ALLOWED_HOSTS", "CORS_ALLOWED_ORIGINS", "ACCESS_LOG",
)  # fmt: skip
SCRIPT = f"""
import json, logging, django
from django.conf import settings
django.setup()
print(json.dumps({{name: getattr(settings, name) for name in {SHOWN!r}}}))
logging.getLogger("test").warning("paid with %s", "sk_live_0123456789abcdef")
"""


def run(tmp_path, environment: dict[str, str]) -> tuple[dict[str, object], str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={
            **kept,
            "DJANGO_SETTINGS_MODULE": "superagent.settings",
            "DATA_DIR": str(tmp_path),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def test_an_https_address_makes_it_safe(tmp_path) -> None:
    shown, errors = run(tmp_path, {name: value for name, value in PRODUCTION.items() if name != "DEBUG"})
    assert shown == {
        "DEBUG": False,
        "IS_SECURE": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True,
        "STRIPE_USES_SANDBOX": False,
        "STRIPE_LIVE_MODE": True,
        "ALLOWED_HOSTS": ["app.superagent.example"],
        "CORS_ALLOWED_ORIGINS": [],
        "ACCESS_LOG": True,
    }
    line = json.loads(errors.strip().splitlines()[-1])
    assert (line["message"], line["level"], line["logger"]) == ("paid with [redacted]", "warning", "test")


def settings_error(tmp_path: Path, environment: dict[str, str]) -> str:
    """The last line of what a server says that is started with these settings; empty when it starts."""
    done = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "superagent.settings",
            "DATA_DIR": str(tmp_path),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("public_url", "local"),
    [("https://app.example.com", "false"), ("https://app.example.com", "true"), ("http://10.0.0.1", "false")],
)
def test_no_server_starts_with_the_development_key(tmp_path: Path, public_url: str, local: str) -> None:
    servers = {name: PRODUCTION[name] for name in ("DATABASE_URL", "REDIS_URL")}
    environment = {**servers, "PUBLIC_URL": public_url, "LOCAL": local}
    error = settings_error(tmp_path, environment)
    assert error.endswith("SECRET_KEY is missing: set it to 50 or more random characters (.env.example).")
    assert settings_error(tmp_path, {**environment, "SECRET_KEY": "x" * 60}) == ""


@pytest.mark.parametrize("where", [{}, {"LOCAL": "true"}, {"PUBLIC_URL": "http://10.0.0.1"}])
def test_no_server_starts_with_an_admin_that_a_password_opens(tmp_path: Path, where: dict[str, str]) -> None:
    environment = PRODUCTION | where
    assert settings_error(tmp_path, environment) == ""
    error = settings_error(tmp_path, environment | {"ADMIN_SECOND_FACTOR": "false"})
    assert "ADMIN_SECOND_FACTOR is off, so a password alone would open the admin" in error


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL"])
def test_a_server_without_its_environment_starts_no_database_of_its_own(tmp_path: Path, missing: str) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name != missing}
    error = settings_error(tmp_path, environment)
    assert error.endswith("DATABASE_URL and REDIS_URL are missing: load the environment, or use make.")
    assert list(tmp_path.iterdir()) == []


def test_no_server_starts_without_its_address(tmp_path: Path) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name != "PUBLIC_URL"}
    assert "PUBLIC_URL is missing: links in mails" in settings_error(tmp_path, environment)
    assert settings_error(tmp_path, environment | {"LOCAL": "true"}) == ""


def test_errors_are_reported_only_where_somebody_listens(tmp_path) -> None:
    script = "import sentry_sdk, django; django.setup(); print(sentry_sdk.get_client().is_active())"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    kept |= {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "superagent.settings", "DATA_DIR": str(tmp_path)}

    def is_active(**more: str) -> str:
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, cwd=ROOT, env={**kept, **more}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert is_active() == "False"
    assert is_active(SENTRY_DSN="http://key@127.0.0.1:9/1") == "True"
