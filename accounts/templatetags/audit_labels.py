"""Words for what the audit trail calls by code."""

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import browsers
from accounts.models import AuditEntry, SecurityEvent

register = template.Library()

_NAMES = {"api": "API", "ip": "IP", "otp": "OTP"}
_SAME_AS_THE_BUTTON = {"invitation.revoked": "invitation.withdrawn"}


@register.filter
def action_label(action: str) -> str:
    """`api_key.created` → “API key created”."""
    words = [
        _NAMES.get(word, word)
        for word in _SAME_AS_THE_BUTTON.get(action, action).replace(".", "_").split("_")
    ]
    sentence = " ".join(words).replace("log in", "login")
    return sentence[:1].upper() + sentence[1:]


@register.filter
def own_action_label(action: str) -> str:
    """The same to the person whom it is about: `user.logged_in` → “Logged in”."""
    return action_label(action.removeprefix("user."))


_FACTORS = {
    "password": gettext_noop("password"),
    "totp": gettext_noop("authenticator app"),
    "recovery_code": gettext_noop("recovery code"),
    "passkey": gettext_noop("passkey"),
    "google": "Google",
    "github": "GitHub",
}


@register.filter
def factors_label(entry: AuditEntry) -> str:
    """By what somebody logged in: “password and authenticator app”; empty where it is not known."""
    named = [str(_(_FACTORS[each])) if each in _FACTORS else each for each in entry.detail.get("factors", ())]
    return get_text_list(named, _("and"))


# What a person has to do with a limit that was reached (settings.THROTTLES).
_LIMITS = {
    "guess_pair": gettext_noop("Several wrong passwords or codes from this network: it has to wait"),
    "guess_device": gettext_noop("Several wrong passwords or codes in this browser: it has to wait"),
    "guess_network": gettext_noop("This network tried wrong passwords for many accounts: it has to wait"),
    "guess_account": gettext_noop("Wrong passwords or codes from many networks: unknown ones have to wait"),
    "mail_reset": gettext_noop("A link for a new password was asked for too often: no more mails today"),
    "mail_verify": gettext_noop(
        "The link to confirm the address was asked for too often: no more mails today"
    ),
    "mail_new_device": gettext_noop("No more mails today about logins from new browsers and networks"),
}


@register.filter
def event_label(event: SecurityEvent) -> str:
    """What a security event was about, where its kind does not say it."""
    if event.kind == SecurityEvent.Kind.LIMIT_REACHED and event.detail in _LIMITS:
        return _(_LIMITS[event.detail])
    return event.detail.replace("_", " ") if event.kind == SecurityEvent.Kind.LIMIT_REACHED else event.detail


@register.filter
def browser_label(user_agent: str) -> str:
    """A User-Agent header as people say it: “Firefox on Windows”; what is not known as it was sent, cut."""
    return browsers.name_of(user_agent) or user_agent[:48] or _("Unknown")


@register.simple_tag
def support_link() -> str:
    """The address that people write to, as a link."""
    return format_html('<a href="mailto:{0}">{0}</a>', settings.SUPPORT_EMAIL)


@register.simple_tag
def mailbox_url() -> str:
    """Where the mail of a developer's copy can be read; empty where mail is sent."""
    url: str = settings.MAILBOX_URL
    return url
