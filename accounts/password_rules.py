"""Passwords that guessers try first, beyond Django's list: its words with ornaments, and names known here.

`Password123!` and `P@ssw0rd12` are `password` with ornaments; `SuperAgent2026` is where one logs in.
No service is asked: no password, and no part of its digest, leaves this process.
"""

import re
import unicodedata
from collections.abc import Iterable

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import Membership, User
from superagent.foundation import tenancy

PRODUCT = "SuperAgent"
MOST_ORGANIZATIONS = 100  # that are looked at, the last joined
SHORTEST_NAME = 4  # of an organization: shorter ones are in too many good passwords
OWN_WORTH = 6  # letters that a password must have beside a known name
_LEET = str.maketrans("013457@$!|", "oieastasil")
_ORNAMENTS = re.compile(r"^[\W\d_]+|[\W\d_]+$")


class OrnamentedPasswordValidator:
    """Refuses what is a common password once case, digits and signs around it, and digits for letters, are undone."""

    def __init__(self) -> None:
        self._common = CommonPasswordValidator().passwords

    def validate(self, password: str, user: User | None = None) -> None:
        if any(core in self._common for core in _cores(password)):
            raise ValidationError(
                _("This password is among the first that are guessed: a common word with digits or signs."),
                code="password_too_common",
            )

    def get_help_text(self) -> str:
        return _("Not a common password, also with digits or signs added.")


class ContextPasswordValidator:
    """Refuses what is little more than the name of this product or of an organization of the person."""

    def validate(self, password: str, user: User | None = None) -> None:
        check_context(password, [PRODUCT, *_organizations_of(user)])

    def get_help_text(self) -> str:
        return _("Not the name of this product or of your organization.")


def check_context(password: str, names: Iterable[str]) -> None:
    """Raises ValidationError when little is left of the password without one of `names`."""
    plain = _letters(_plain(password))
    for name in names:
        known = _letters(_plain(name))
        if len(known) >= SHORTEST_NAME and known in plain and len(plain.replace(known, "")) < OWN_WORTH:
            raise ValidationError(
                _("This password is too easy to guess: it is little more than “%(name)s”."),
                code="password_too_similar",
                params={"name": name},
            )


def _organizations_of(user: User | None) -> list[str]:
    if user is None or user._state.adding:
        return []
    with tenancy.system("a person's organizations have names that a password must not be"):
        names = (
            Membership.objects.filter(user=user).order_by("-id").values_list("organization__name", flat=True)
        )
        return list(names[:MOST_ORGANIZATIONS])


def _cores(password: str) -> Iterable[str]:
    """What may be the word in it: without ornaments, with and without the digits read as letters, said once."""
    bare = _ORNAMENTS.sub("", password)
    for candidate in (bare, _ORNAMENTS.sub("", _plain(password)), _plain(bare)):
        word = candidate.lower()
        if word:
            yield word
            yield _once(word)


def _once(word: str) -> str:
    """`passwordpassword` → `password`."""
    again = (word + word).find(word, 1)
    return word[:again]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).casefold().translate(_LEET)


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalpha())
