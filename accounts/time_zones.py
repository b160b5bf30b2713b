"""Time zones by their names in the IANA database, such as Europe/Vienna."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

DEFAULT = "UTC"


@cache
def names() -> frozenset[str]:
    """Those that people call their own: a place on a continent or in an ocean, and UTC."""
    areas = ("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/")
    return frozenset(
        name for name in available_timezones() if name.startswith((*areas, "Indian/", "Pacific/"))
    ) | {DEFAULT}


def choices() -> list[tuple[str, str]]:
    """For a select: UTC first, then by name."""
    places = sorted(names() - {DEFAULT})
    return [(DEFAULT, DEFAULT), *((name, name.replace("_", " ")) for name in places)]


def validate(name: str) -> None:
    if name not in names():
        raise ValidationError(_("There is no time zone of this name."), code="unknown_time_zone")


def find(name: str) -> ZoneInfo:
    """UTC for a name that this machine's database has not, so that an old page still shows."""
    return ZoneInfo(name if name in names() else DEFAULT)
