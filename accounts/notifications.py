"""Mail: an outbox row in the transaction that causes it, rendered and sent afterwards by the mailer of the settings.

A template is three files: `<template>.subject.txt`, `.txt` and `.html`. Secret links are named in the context by
`mail_links` and made when the mail is sent.
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
from superagent.foundation import outbox, tenancy
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
    """Mail `template` after the caller's transaction has committed; the same `dedupe_key` is mailed once, ever.

    `context` is JSON; no secret may be in it.
    """
    with tenancy.system("a mail may belong to a person and not to an organization"):
        outbox.enqueue(
            topic=TOPIC,
            payload={"template": template, "to": list(to), "context": context},
            dedupe_key=f"mail:{dedupe_key}" if dedupe_key else None,
            organization_id=organization.pk if organization else None,
        )


def deliver(message: OutboxMessage) -> None:
    """The outbox's handler. Raises outbox.Retryable, outbox.Permanent and outbox.Postponed."""
    if not settings.MAIL_ENABLED:
        raise outbox.Postponed("mail is switched off (MAIL_ENABLED)")
    try:
        mail = render(**message.payload)
    except mail_links.LinkExpired:
        log.info("mail_outdated", message=str(message.pk), template=message.payload["template"])
        return
    # anymail's attribute, ignored by SMTP: what finds this mail again at the mailer
    mail.metadata = {"message": str(message.pk)}  # type: ignore[attr-defined]  # anymail adds it
    try:
        mail.send()
    except AnymailAPIError as error:
        raise _translated(error) from error
    except (AnymailRecipientsRefused, AnymailSerializationError, smtplib.SMTPRecipientsRefused) as error:
        raise outbox.Permanent(f"{type(error).__name__}: {error}") from error
    except (AnymailError, smtplib.SMTPException, OSError) as error:
        raise outbox.Retryable(f"{type(error).__name__}: {error}") from error


def render(template: str, to: list[str], context: dict[str, Any]) -> EmailMultiAlternatives:
    """The mail as it will be sent, its links made."""
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
    """A mailer's refusal is permanent; its absence, a limit or a wrong key of ours may be over soon."""
    status = getattr(error, "status_code", None)
    is_refusal = (
        status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in RETRYABLE_STATUSES
    )
    # Not str(error): it describes the mail, whose link is a secret.
    text = f"{type(error).__name__}: HTTP {status}: {error.args[0] if error.args else ''}"
    return outbox.Permanent(text) if is_refusal else outbox.Retryable(text)
