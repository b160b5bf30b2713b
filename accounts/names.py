"""Names of people, organizations and API keys. They appear in mails to people who did not ask for them.

A name is therefore one visible line, without characters that hide or reorder text and without a web address, so that
nobody can send a message or a link through a name. A company may still be called Booking.com: where strangers read a
name, `unlinked` keeps mail programs from turning it into a link.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAX_LENGTH = 150

# Controls, line and paragraph separators, surrogates, private-use and invisible formatting characters
_UNSEEN = frozenset({"Cc", "Zl", "Zp", "Cs", "Co", "Cf"})
# Formatting characters too, but Persian, the scripts of India and emoji need them
_JOINERS = frozenset("\u200c\u200d")
# Letters and symbols that look empty: Korean fillers and the blank braille pattern
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_SEEN = frozenset("LNPS")
_WORD_JOINER = "\u2060"
# Browsers read Chinese full stops as dots, too
_INNER_DOT = re.compile(r"(?<=\w)([.\u3002\uff0e\uff61])(?=\w\w)")
_ADDRESS = re.compile(r"://|\bwww\.|\w\.\w{2,}/\S", re.IGNORECASE)


def validate(name: str) -> None:
    """Raises ValidationError for an invisible name, and for one that could carry a message or a link."""
    if any(_is_unseen(character) for character in name):
        raise ValidationError(
            _("Use one line of text, without control or invisible characters."), code="control_characters"
        )
    if name and not _can_be_seen(name):
        raise ValidationError(_("Enter a name with visible characters."), code="invisible")
    if _ADDRESS.search(name):
        raise ValidationError(_("Do not include a web address in the name."), code="web_address")


def cleaned(name: str) -> str:
    """Returns `name` without what `validate` refuses; empty if nothing visible is left.

    For names that were never validated, such as a sign-in provider's.
    """
    one_line = "".join(" " if _is_unseen(character) else character for character in name)
    left = " ".join(_ADDRESS.sub(" ", one_line).split())[:MAX_LENGTH]
    return left if _can_be_seen(left) else ""


def unlinked(name: str) -> str:
    """Returns `name` for a mail to a stranger: it looks the same, but mail programs find no domain to link."""
    return _INNER_DOT.sub(rf"\1{_WORD_JOINER}", name)


def _is_unseen(character: str) -> bool:
    if character in _JOINERS:
        return False
    return character in _BLANK or unicodedata.category(character) in _UNSEEN


def _can_be_seen(name: str) -> bool:
    return any(unicodedata.category(character)[0] in _SEEN for character in name)
