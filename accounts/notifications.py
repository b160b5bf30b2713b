"""Mail. `send` writes an outbox row in the caller's transaction; the outbox worker renders and delivers it.

A template is three files: `<template>.subject.txt`, `.txt` and `.html`. The context names secret links by reference
(`mail_links`); they are created when the mail is sent, so that no secret is stored.
"""

import smtplib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from anymail.exceptions import (
    AnymailAPIError,
    AnymailError,
    AnymailRecipientsRefused,
    AnymailSerializationError,
)
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from accounts import mail_links
from accounts.models import Organization
from superagent.foundation import outbox, retries, tenancy
from superagent.foundation.models import OutboxMessage

TOPIC = "accounts.send_mail"
RETRYABLE_STATUSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED}

log = structlog.get_logger(__name__)


def send(
    *,
    template: str,
    to: Sequence[str],
    context: dict[str, Any],
    dedupe_key: str | None,
    organization: Organization | None = None,
) -> None:
    """Send `template` after the caller's transaction has committed; at most once for each `dedupe_key`.

    `context` is JSON and must not contain a secret.
    """
    with tenancy.system("a mail may belong to a person and not to an organization"):
        outbox.enqueue(
            topic=TOPIC,
            payload={"template": template, "to": list(to), "context": context},
            dedupe_key=f"mail:{dedupe_key}" if dedupe_key else None,
            organization_id=organization.pk if organization else None,
        )


def deliver(message: OutboxMessage) -> None:
    """Send one mail; the outbox handler. Raises retries.Retryable, retries.Permanent and retries.Postponed."""
    if not settings.MAIL_ENABLED:
        raise retries.Postponed("mail is switched off (MAIL_ENABLED)")
    try:
        mail: Any = render(**message.payload)
    except mail_links.LinkExpired:
        log.info("mail_outdated", message=str(message.pk), template=message.payload["template"])
        return
    # anymail's attribute, ignored by SMTP: identifies this mail at the mail provider
    mail.metadata = {"message": str(message.pk)}
    try:
        mail.send()
    except AnymailAPIError as error:
        raise _translated(error) from error
    except (AnymailRecipientsRefused, AnymailSerializationError, smtplib.SMTPRecipientsRefused) as error:
        raise retries.Permanent(f"{type(error).__name__}: {error}") from error
    except (AnymailError, smtplib.SMTPException, OSError) as error:
        raise retries.Retryable(f"{type(error).__name__}: {error}") from error


def render(template: str, to: list[str], context: dict[str, Any]) -> EmailMultiAlternatives:
    """Returns the rendered mail, with its links created."""
    product = "SuperAgent"
    values: dict[str, Any] = {"product": product, "public_url": settings.PUBLIC_URL}
    for name, value in context.items():
        is_link = isinstance(value, dict) and "link_to" in value
        values[name] = mail_links.make(value, to=to[0]) if is_link else value
    subject = " ".join(render_to_string(f"{template}.subject.txt", values).split())
    mail = EmailMultiAlternatives(
        subject=subject,
        body=f"{render_to_string(f'{template}.txt', values).strip()}\n\n-- \n{product}\n{settings.PUBLIC_URL}\n",
        to=to,
        headers={"Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(render_to_string(f"{template}.html", values | {"subject": subject}), "text/html")
    return mail


def _translated(error: AnymailAPIError) -> Exception:
    """A refusal by the mail provider is permanent; an outage, a rate limit or a wrong API key is retryable."""
    status = getattr(error, "status_code", None)
    is_refusal = (
        status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in RETRYABLE_STATUSES
    )
    # Not str(error): it contains the mail, and the mail's link is a secret.
    text = f"{type(error).__name__}: HTTP {status}: {error.args[0] if error.args else ''}"
    return retries.Permanent(text) if is_refusal else retries.Retryable(text)
