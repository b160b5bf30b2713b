"""The menu of the portal: its pages in their sections, and which of them a path belongs to."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.roles import Scope

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True, slots=True)
class Entry:
    """`page` and `also` are names of URLs: the entry is marked on the pages below both. `chord` follows a G."""

    page: str
    label: "StrOrPromise"
    icon: str
    chord: str = ""
    needs: Scope | None = None
    also: tuple[str, ...] = ()
    has_pages_below: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    heading: "StrOrPromise"
    entries: tuple[Entry, ...]


SECTIONS = (
    Section("", (Entry("dashboard", _("Dashboard"), "home", "d", has_pages_below=False),)),
    Section(
        _("Build"),
        (
            Entry("usage", _("Usage"), "chart", "u"),
            Entry("requests", _("Requests"), "list", "r"),
            Entry("api-keys", _("API keys"), "key", "k", needs=Scope.KEYS_READ),
            Entry("api:docs", _("API reference"), "book"),
        ),
    ),
    Section(_("Products"), (Entry("licenses", _("Licenses"), "shield", "l"),)),
    Section(
        _("Billing"),
        (
            Entry("billing", _("Plan"), "card", "p", needs=Scope.BILLING_READ, also=("checkout", "orders")),
            Entry("invoices", _("Invoices"), "receipt", "i", needs=Scope.BILLING_READ),
        ),
    ),
    Section(
        _("Organization"),
        (
            Entry("members", _("Members"), "users", "m"),
            Entry("audit", _("Audit"), "activity", "a", needs=Scope.ORGANIZATION_WRITE),
            Entry("settings", _("Settings"), "settings", "s", has_pages_below=False),
        ),
    ),
)


class Mark(NamedTuple):
    """The entry that a path belongs to, and whether the path is the very page."""

    page: str = ""
    is_page: bool = False


def mark(path: str) -> Mark:
    for page, address, below in _addresses():
        if path == address:
            return Mark(page, is_page=True)
        if any(path.startswith(each) for each in below):
            return Mark(page)
    return Mark()


@cache
def _addresses() -> list[tuple[str, str, tuple[str, ...]]]:
    """Of each entry its page, the address of it, and the addresses below which it is marked."""
    return [
        (
            entry.page,
            reverse(entry.page),
            tuple(reverse(each) for each in ((entry.page,) if entry.has_pages_below else ()) + entry.also),
        )
        for section in SECTIONS
        for entry in section.entries
    ]


def sections(role: str) -> list[Section]:
    """What a member with `role` finds in the menu."""
    found = []
    for section in SECTIONS:
        entries = tuple(each for each in section.entries if not each.needs or roles.allows(role, each.needs))
        if entries:
            found.append(Section(section.heading, entries))
    return found
