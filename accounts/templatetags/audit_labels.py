"""Labels for codes of the audit trail and of security events."""

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
    """As `action_label`, for the user concerned: `user.logged_in` → “Logged in”."""
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
    """Returns the factors of a login, such as “password and authenticator app”; empty if they are unknown."""
    named = [str(_(_FACTORS[each])) if each in _FACTORS else each for each in entry.detail.get("factors", ())]
    return get_text_list(named, _("and"))


# Rate limits that were reached (settings.THROTTLES), in words for the user concerned.
_LIMITS = {
    "guess_pair": gettext_noop("Several wrong passwords or codes from this network: it must wait"),
    "guess_device": gettext_noop("Several wrong passwords or codes in this browser: it must wait"),
    "guess_network": gettext_noop("Wrong passwords for many accounts from this network: it must wait"),
    "guess_account": gettext_noop("Wrong passwords or codes from many networks: unknown networks must wait"),
    "mail_reset": gettext_noop("Too many password reset requests: no more emails today"),
    "mail_verify": gettext_noop("Too many requests for a confirmation link: no more emails today"),
    "mail_new_device": gettext_noop("No more emails today about logins from new browsers and networks"),
}


@register.filter
def event_label(event: SecurityEvent) -> str:
    """Returns the detail of a security event: the rate limit in words, or the detail as stored."""
    if event.kind == SecurityEvent.Kind.LIMIT_REACHED and event.detail in _LIMITS:
        return _(_LIMITS[event.detail])
    return event.detail.replace("_", " ") if event.kind == SecurityEvent.Kind.LIMIT_REACHED else event.detail


@register.filter
def browser_label(user_agent: str) -> str:
    """Returns a User-Agent header as “Firefox on Windows”; an unknown one as sent, shortened."""
    return browsers.name_of(user_agent) or user_agent[:48] or _("Unknown")


@register.simple_tag
def support_link() -> str:
    """Returns the address of our support as a link."""
    return format_html('<a href="mailto:{0}">{0}</a>', settings.SUPPORT_EMAIL)


@register.simple_tag
def mailbox_url() -> str:
    """Returns the URL of the mailbox that catches all mail in development; empty where mail is really sent."""
    url: str = settings.MAILBOX_URL
    return url
