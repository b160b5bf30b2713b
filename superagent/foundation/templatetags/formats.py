"""Formats of figures and times for people. Ledgers use the exact forms; `compact` is for axes and headlines."""

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from superagent.foundation.money import decimal_places, major_units

register = template.Library()

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩"}
_MOST_DIGITS = 6
_RELATIVE_FOR = timedelta(days=7)

Number = int | Decimal


@register.filter
def money(amount: Number | None, currency: str = "usd") -> str:
    """`amount` minor units of `currency`: 2340 is $23.40, Decimal("0.05") is $0.0005. Not rounded before the sixth
    digit; whole cents always show two.
    """
    if amount is None:
        return NOTHING
    currency = currency.lower()
    places = decimal_places(currency)
    value = major_units(amount, currency).quantize(Decimal(1).scaleb(-_MOST_DIGITS), ROUND_HALF_UP)
    digits = len(f"{abs(value):f}".split(".")[1].rstrip("0"))
    text = f"{abs(value):,.{max(places, digits if digits <= places else max(digits, 4))}f}"
    sign = MINUS if value < 0 else ""
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency.upper()}"


@register.filter
def money_short(amount: int | None, currency: str = "usd") -> str:
    """For prices in prose: $29 instead of $29.00; fractions are never dropped."""
    text = money(amount, currency)
    return text.replace(".00", "") if text.endswith(".00") or ".00 " in text else text


@register.filter
def quantity(value: Number | None) -> str:
    """1234567 is 1,234,567. Exact."""
    if value is None:
        return NOTHING
    text = f"{abs(value):,f}" if isinstance(value, Decimal) else f"{abs(value):,}"
    return f"{MINUS if value < 0 else ''}{text}"


@register.filter
def compact(value: Number | float | None) -> str:
    """1234 is 1.23K, 20000000 is 20M: three significant digits, for axes and headlines only."""
    if value is None:
        return NOTHING
    number = abs(Decimal(str(value)))
    sign = MINUS if value < 0 else ""
    for power, suffix in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        scaled = number.scaleb(-power)
        if scaled >= Decimal("0.9995"):
            return f"{sign}{_three_digits(scaled)}{suffix}"
    return f"{sign}{_three_digits(number)}"


@register.filter
def percent(value: float | Decimal | None, digits: int = 1) -> str:
    """A ratio: 0.1234 is 12.3 %. Small values are not rounded to zero."""
    if value is None:
        return NOTHING
    number = Decimal(str(value)) * 100
    smallest = Decimal(1).scaleb(-digits)
    if 0 < abs(number) < smallest:
        return f"<{smallest}%"
    text = f"{abs(number):.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{MINUS if number < 0 else ''}{text}%"


@register.filter
def duration_ms(value: float | Decimal | None) -> str:
    """Milliseconds: 12 ms, 1.24 s, 2 min 5 s."""
    if value is None:
        return NOTHING
    milliseconds = float(value)
    if milliseconds < 1:
        return "<1 ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@register.filter
def bytes_size(value: int | None) -> str:
    """Bytes in powers of 1,000: 512 B, 1.5 kB, 20 MB."""
    if value is None:
        return NOTHING
    number = Decimal(value)
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        scaled = number.scaleb(-power)
        if scaled >= 1:
            return f"{_three_digits(scaled)} {unit}"
    return f"{value} B"


@register.filter
def when(value: datetime | None, form: str = "time") -> SafeString | str:
    """An absolute time with its zone, as billing shows it: "Nov 20, 2026, 09:28 UTC". Forms: time, seconds."""
    if value is None:
        return NOTHING
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), absolute(value, form))


@register.filter
def day(value: datetime | date | None) -> SafeString | str:
    """A date alone: "Nov 20, 2026"."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if isinstance(value, datetime) else value
    return format_html('<time datetime="{}">{}</time>', local.isoformat(), date_format(local, "M j, Y"))


@register.filter
def ago(value: datetime | None, now: datetime | None = None) -> SafeString | str:
    """Relative within seven days of `now` (the organization's clock; default: real time), absolute beyond. The exact
    time is in the tooltip and is read out; it is no Tab stop, because lists would have too many.
    """
    if value is None:
        return _("Never")
    distance = (now or timezone.now()) - value
    exact = absolute(value, "time")
    if abs(distance) >= _RELATIVE_FOR:
        local = timezone.localtime(value)
        text = date_format(local, "M j, Y")
    else:
        text = relative(distance)
    return format_html(
        '<time datetime="{}" data-tooltip="{}">{}<span class="sr-only">, {}</span></time>',
        value.isoformat(),
        exact,
        text,
        exact.removeprefix(f"{text}, "),
    )


def absolute(value: datetime, form: str = "time") -> str:
    local = timezone.localtime(value)
    clock = "H:i:s" if form == "seconds" else "H:i"
    return f"{date_format(local, 'M j, Y')}, {date_format(local, clock)} {local.tzname()}"


def relative(distance: timedelta) -> str:
    """`distance` is now minus then: positive is in the past."""
    seconds = abs(round(distance.total_seconds()))
    if seconds < 45:
        return _("just now") if distance >= timedelta(0) else _("in a moment")
    minutes, hours, days = round(seconds / 60), round(seconds / 3600), round(seconds / 86400)
    if minutes < 60:
        count, text = minutes, ngettext("%(count)d minute", "%(count)d minutes", minutes)
    elif hours < 24:
        count, text = hours, ngettext("%(count)d hour", "%(count)d hours", hours)
    else:
        count, text = days, ngettext("%(count)d day", "%(count)d days", days)
    span = text % {"count": count}
    return (
        _("%(span)s ago") % {"span": span} if distance > timedelta(0) else _("in %(span)s") % {"span": span}
    )


def _three_digits(number: Decimal) -> str:
    digits = 2 if number < 10 else 1 if number < 100 else 0
    text = f"{number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
