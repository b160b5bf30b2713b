"""Words for what the audit trail calls by code."""

from django import template

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
