"""Words for what the audit trail calls by code."""

from django import template
from django.utils.translation import gettext as _

register = template.Library()

_NAMES = {"api": "API", "ip": "IP", "otp": "OTP"}
_SAME_AS_THE_BUTTON = {"invitation.revoked": "invitation.withdrawn"}


@register.filter
def action_words(action: str) -> str:
    """`api_key.created` → “API key created”."""
    words = [
        _NAMES.get(word, word)
        for word in _SAME_AS_THE_BUTTON.get(action, action).replace(".", "_").split("_")
    ]
    sentence = " ".join(words)
    return sentence[:1].upper() + sentence[1:]


# The first that is found counts: Edge and Opera call themselves Chrome, and all call themselves Safari.
_BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


@register.filter
def browser_words(user_agent: str) -> str:
    """A User-Agent header as people say it: “Firefox on Windows”; what is not known as it was sent, cut."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or user_agent[:48] or _("Unknown")
