"""System checks of this product's own settings, for `manage.py check --deploy`."""

from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.http.request import validate_host

DEVELOPMENT_KEY_BEGINS = "insecure-"


@checks.register(deploy=True)
def check_production_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    findings: list[checks.CheckMessage] = []
    if not settings.IS_SECURE:
        findings.append(checks.Error("PUBLIC_URL is not an https address.", id="superagent.E002"))
    if not validate_host(urlsplit(settings.PUBLIC_URL).hostname or "", settings.ALLOWED_HOSTS):
        findings.append(
            checks.Error(
                "ALLOWED_HOSTS lacks the host of PUBLIC_URL, so every request there would be 400.",
                id="superagent.E008",
            )
        )
    if settings.EMBEDDED_DATA_DIR:
        findings.append(
            checks.Warning(
                "DATABASE_URL or REDIS_URL is missing, so the embedded services would be used.",
                hint="They are for one machine. See docs/deployment.",
                id="superagent.W001",
            )
        )
    if settings.STRIPE_USES_SANDBOX:
        findings.append(
            checks.Warning(
                "STRIPE_SECRET_KEY is missing, so the sandbox would take payments.", id="superagent.W002"
            )
        )
    return [*findings, *_unset()]


def _unset() -> list[checks.CheckMessage]:
    """Returns the settings that still have their development defaults."""
    findings: list[checks.CheckMessage] = [
        checks.Warning(
            f"{name} is still the one of the example.", hint="Set it (.env.example).", id="superagent.W004"
        )
        for name in ("DEFAULT_FROM_EMAIL", "SECURITY_CONTACT")
        if getattr(settings, name).rstrip(">").endswith("@superagent.example")
    ]
    if settings.MAIL_USES_SANDBOX:
        findings.append(
            checks.Error(
                "No mailer is set, so mail would go to the sandbox.",
                hint="Set EMAIL_URL, POSTMARK_SERVER_TOKEN or EMAIL_BACKEND.",
                id="superagent.E006",
            )
        )
    if settings.DATABASE_OWNER_URL == settings.DATABASE_URL:
        findings.append(
            checks.Error(
                "DATABASE_OWNER_URL is missing, so migrations would run as app_web, which may not change tables.",
                id="superagent.E007",
            )
        )
    if settings.SPOOL_DIR.is_relative_to(settings.BASE_DIR):
        findings.append(
            checks.Warning(
                "SPOOL_DIR is inside the code, so a new version could take requests away that are not recorded yet.",
                hint="Set it to a folder that stays, such as /var/lib/superagent/spool.",
                id="superagent.W005",
            )
        )
    return findings


@checks.register
def check_secret_key(**kwargs: Any) -> list[checks.CheckMessage]:
    """A public installation must not sign with the key from the source code."""
    if settings.IS_SECURE and settings.SECRET_KEY.startswith(DEVELOPMENT_KEY_BEGINS):
        return [
            checks.Error(
                "SECRET_KEY is the one from the source code.",
                hint="Set SECRET_KEY to 50 or more random characters.",
                id="superagent.E001",
            )
        ]
    return []


@checks.register
def check_pool(**kwargs: Any) -> list[checks.CheckMessage]:
    if 0 < settings.DATABASE_POOL_SIZE < settings.WEB_THREADS:
        return [
            checks.Error(
                f"DATABASE_POOL_SIZE is {settings.DATABASE_POOL_SIZE}, but {settings.WEB_THREADS} threads "
                "(WEB_THREADS) may each need a connection.",
                id="superagent.E003",
            )
        ]
    return []


@checks.register
def check_admin(**kwargs: Any) -> list[checks.CheckMessage]:
    """The settings refuse to start without it, too; this covers settings that come from elsewhere."""
    findings: list[checks.CheckMessage] = []
    if not settings.ADMIN_SECOND_FACTOR and (settings.IS_SECURE or not settings.IS_LOCAL):
        findings.append(
            checks.Error(
                "ADMIN_SECOND_FACTOR is off: a password alone opens the admin.",
                hint="Remove the variable. It is for `make run` only.",
                id="superagent.E004",
            )
        )
    for network in settings.ADMIN_NETWORKS:
        try:
            ip_network(network)
        except ValueError as error:
            findings.append(
                checks.Error(
                    f"ADMIN_NETWORKS: {error}.",
                    hint="Write networks as 192.0.2.0/24 or 2001:db8::/32.",
                    id="superagent.E005",
                )
            )
    return findings
