"""Time zones by their names in the IANA database, such as Europe/Vienna."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

DEFAULT = "UTC"


@cache
def names() -> frozenset[str]:
    """Returns the zones that people choose: region and city, and UTC."""
    areas = ("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/")
    return frozenset(
        name for name in available_timezones() if name.startswith((*areas, "Indian/", "Pacific/"))
    ) | {DEFAULT}


def choices() -> list[tuple[str, str]]:
    """Returns choices for a form: UTC first, then by name."""
    places = sorted(names() - {DEFAULT})
    return [(DEFAULT, DEFAULT), *((name, name.replace("_", " ")) for name in places)]


def validate(name: str) -> None:
    if name not in names():
        raise ValidationError(_("There is no time zone with this name."), code="unknown_time_zone")


def find(name: str) -> ZoneInfo:
    """Returns the zone; UTC for a name that this machine's database lacks."""
    return ZoneInfo(name if name in names() else DEFAULT)
