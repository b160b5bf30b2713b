"""Names of people, organizations and API keys: they stand in mails to people who have not asked for them.

So a name is one line without what hides or reorders text, and without a web address: nobody can send a message, or
somebody to another site, by way of a name.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

_UNSEEN = {
    "Cc",
    "Zl",
    "Zp",
    "Cs",
    "Co",
}  # controls, line and paragraph separators, halves and private characters
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ADDRESS = re.compile(r"://|\bwww\.|\w\.\w{2,}/\S", re.IGNORECASE)


def validate(name: str) -> None:
    """Raises ValidationError for a name that could be more than a name."""
    if any(_is_unseen(character) for character in name):
        raise ValidationError(
            _("Use one line of text, without control characters."), code="control_characters"
        )
    if _ADDRESS.search(name):
        raise ValidationError(_("Leave web addresses out of the name."), code="web_address")


def cleaned(name: str, *, max_length: int = 150) -> str:
    """What is left of a name that comes from elsewhere, such as a sign-in provider, or from before it was checked."""
    one_line = "".join(" " if _is_unseen(character) else character for character in name)
    return " ".join(_ADDRESS.sub(" ", one_line).split())[:max_length]


def _is_unseen(character: str) -> bool:
    return character in _REORDERING or unicodedata.category(character) in _UNSEEN
