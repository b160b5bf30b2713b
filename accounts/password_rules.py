"""Password validators beyond Django's: common passwords in disguise, and names that an attacker knows.

`Password123!` and `P@ssw0rd12` are `password` in disguise; `SuperAgent2026` is the product's name. All checks run in
this process: no password, and no part of its hash, is sent to a service.
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
MOST_ORGANIZATIONS = 100  # that are compared: the last joined
SHORTEST_NAME = 4  # of an organization: shorter ones occur in too many good passwords
MIN_OTHER_LETTERS = 6  # that a password needs besides a known name
_LEET = str.maketrans("013457@$!|", "oieastasil")
_ORNAMENTS = re.compile(r"^[\W\d_]+|[\W\d_]+$")


class OrnamentedPasswordValidator:
    """Refuses common passwords with other case, digits or symbols around them, or digits in place of letters."""

    def __init__(self) -> None:
        self._common = CommonPasswordValidator().passwords

    def validate(self, password: str, user: User | None = None) -> None:
        if any(core in self._common for core in _cores(password)):
            raise ValidationError(
                _("This password is easy to guess: it is a common word with digits or symbols added."),
                code="password_too_common",
            )

    def get_help_text(self) -> str:
        return _("Your password can't be a common word with digits or symbols added.")


class ContextPasswordValidator:
    """Refuses passwords that are little more than the name of this product or of one of the user's organizations."""

    def validate(self, password: str, user: User | None = None) -> None:
        check_context(password, [PRODUCT, *_organizations_of(user)])

    def get_help_text(self) -> str:
        return _("Your password can't be the name of this product or of your organization.")


def check_context(password: str, names: Iterable[str]) -> None:
    """Raises ValidationError if the password has fewer than MIN_OTHER_LETTERS letters besides one of `names`."""
    plain = _letters(_plain(password))
    for name in names:
        known = _letters(_plain(name))
        if (
            len(known) >= SHORTEST_NAME
            and known in plain
            and len(plain.replace(known, "")) < MIN_OTHER_LETTERS
        ):
            raise ValidationError(
                _("This password is too easy to guess: it is little more than “%(name)s”."),
                code="password_too_similar",
                params={"name": name},
            )


def _organizations_of(user: User | None) -> list[str]:
    if user is None or user._state.adding:
        return []
    with tenancy.system("names of a person's organizations, which a password must not be"):
        names = (
            Membership.objects.filter(user=user).order_by("-id").values_list("organization__name", flat=True)
        )
        return list(names[:MOST_ORGANIZATIONS])


def _cores(password: str) -> Iterable[str]:
    """Yields the words that the password may be built on, with and without digits read as letters."""
    bare = _ORNAMENTS.sub("", password)
    for candidate in (bare, _ORNAMENTS.sub("", _plain(password)), _plain(bare)):
        word = candidate.lower()
        if word:
            yield word
            yield _unrepeated(word)


def _unrepeated(word: str) -> str:
    """`passwordpassword` → `password`."""
    again = (word + word).find(word, 1)
    return word[:again]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).casefold().translate(_LEET)


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalpha())
