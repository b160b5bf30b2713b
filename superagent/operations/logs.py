"""Logs: one JSON object for each line, or readable lines under DEBUG; with the request's id and without secrets.

Everything goes to standard error, from structlog and from Django's, Celery's and the servers' own loggers alike.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
MAX_DEPTH = 6
# Names whose value is a secret, whatever it looks like.
_SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)|secret|authorization|cookie|csrf|license_key|api_key$|^key$|private|dsn|"
    r"(^|_)(access|refresh|id|reset)?_?token$|card_?number|cvc|^otp$)"
)
# Secrets that give themselves away: our keys, Stripe's, bearer tokens, JWTs, license keys, passwords in URLs, and the
# links of our mails.
_SECRET_TEXT = re.compile(
    r"""(?x)
    \b(?:sa|sk|rk|pk)_(?:test|live)_[A-Za-z0-9_-]{6,}
    | \bwhsec_[A-Za-z0-9+/=_-]{6,}
    | (?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+
    | \b[0-9A-HJKMNP-TV-Z]{2,4}(?:-[0-9A-Z]{5}){5}\b
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)
    | (?<=/reset/key/)[^/\s"']+
    | (?<=/confirm-email/)[^/\s"']+
    | (?<=/invitations/)[^/\s"']+:[^/\s"']+
    | (?<=/email-changes/)[^/\s"']+
    | (?<=/account-closing/)[^/\s"']+
    | (?i:(?<=password=)|(?<=password":\ ")|(?<=token=)|(?<=secret=))[^\s&"']+
    """
)


def scrubbed(value: Any, depth: int = 0) -> Any:
    """Returns `value` without secrets, in nested mappings and sequences, too."""
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value)
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {
            name: REDACTED if item and _SECRET_NAME.search(str(name)) else scrubbed(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [scrubbed(item, depth + 1) for item in value]
    return value


def scrub(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The last processor before the renderer: removes secrets."""
    kept = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    return {**scrubbed(event), **kept}


def scrub_report(event: Any, hint: Any) -> Any:
    """Sentry's before_send and before_send_transaction: the same rule for what leaves for the error tracker.

    With the request's id as a tag, so that a customer's id leads to the report.
    """
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        event.setdefault("tags", {})["request_id"] = request_id
    return scrubbed(event, depth=-MAX_DEPTH)  # reports are nested deeper than log lines


_BEFORE: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),
]


def _rendering(*, is_readable: bool) -> list[Processor]:
    """Exceptions become text before `scrub`, and without the values of variables."""
    if is_readable:
        line = structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
        return [structlog.processors.format_exc_info, scrub, line]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        scrub,
        structlog.processors.JSONRenderer(default=str),
    ]


def configuration(*, is_readable: bool, level: str) -> dict[str, Any]:
    """Configure structlog. Returns Django's LOGGING. `is_readable`: for a terminal, else JSON."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_BEFORE[:-1],
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _BEFORE,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *_rendering(is_readable=is_readable),
                ],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO"},  # its own console would say everything twice
            # The access line says all that these say of ordinary answers.
            "django.request": {"level": "ERROR"},
            "django.server": {"level": "WARNING", "handlers": ["console"], "propagate": False},
            "uvicorn.access": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},  # a line for each task; some run often
            "celery.beat": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
        },
    }


def report_errors(*, dsn: str, environment: str, traces_share: float) -> None:
    """Send errors to Sentry, with the request's id and without bodies, cookies, addresses and secrets.

    Nor the variables of the frames: they hold the bodies all the same.
    """
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        traces_sample_rate=traces_share,
        before_send=scrub_report,
        before_send_transaction=scrub_report,
        integrations=[
            DjangoIntegration(cache_spans=False),
            CeleryIntegration(),
            LoggingIntegration(event_level=logging.ERROR),
        ],
    )
