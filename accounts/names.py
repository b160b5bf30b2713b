"""Names of people, organizations and API keys: they stand in mails to people who have not asked for them.

So a name is one line that can be seen, without what hides or reorders text, and without a web address: nobody can send
a message, or somebody to another site, by way of a name. A company may be called Booking.com all the same; where
strangers read it, mail programs must not make a link of that (`unlinked`).
"""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Controls, line and paragraph separators, halves and private characters, and what formats text without being seen
_UNSEEN = frozenset({"Cc", "Zl", "Zp", "Cs", "Co", "Cf"})
# Formats too, but Persian, the scripts of India and emoji are written with them
_JOINERS = frozenset("\u200c\u200d")
# Letters and symbols that are empty: fillers of Korean syllables, and the braille sign without a dot
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_SEEN = frozenset("LNPS")
_WORD_JOINER = "\u2060"
# Browsers take the Chinese stops for dots too
_INNER_DOT = re.compile(r"(?<=\w)([.\u3002\uff0e\uff61])(?=\w\w)")
_ADDRESS = re.compile(r"://|\bwww\.|\w\.\w{2,}/\S", re.IGNORECASE)


def validate(name: str) -> None:
    """Raises ValidationError for a name that could be more than a name."""
    if any(_is_unseen(character) for character in name):
        raise ValidationError(
            _("Use one line of text, without control or invisible characters."), code="control_characters"
        )
    if name and not _can_be_seen(name):
        raise ValidationError(_("Write a name that can be seen."), code="invisible")
    if _ADDRESS.search(name):
        raise ValidationError(_("Leave web addresses out of the name."), code="web_address")


def cleaned(name: str, *, max_length: int = 150) -> str:
    """What is left of a name that comes from elsewhere, such as a sign-in provider, or from before it was checked."""
    one_line = "".join(" " if _is_unseen(character) else character for character in name)
    left = " ".join(_ADDRESS.sub(" ", one_line).split())[:max_length]
    return left if _can_be_seen(left) else ""


def unlinked(name: str) -> str:
    """`name` for a mail to somebody who does not know its owner: looks the same, but holds no domain to link to."""
    return _INNER_DOT.sub(rf"\1{_WORD_JOINER}", name)


def _is_unseen(character: str) -> bool:
    if character in _JOINERS:
        return False
    return character in _BLANK or unicodedata.category(character) in _UNSEEN


def _can_be_seen(name: str) -> bool:
    return any(unicodedata.category(character)[0] in _SEEN for character in name)
