"""Months counted from an anchor: 31 January is followed by 28 February and 31 March, as at Stripe."""

import calendar
from datetime import datetime, timedelta
from fractions import Fraction


def add(anchor: datetime, months: int) -> datetime:
    """`anchor` moved by `months`; a day that the month lacks becomes its last one."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(index, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def around(anchor: datetime, moment: datetime) -> tuple[datetime, datetime]:
    """The month `[start, end)` of `anchor`'s months that contains `moment`, before the anchor too."""
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    if add(anchor, months) > moment:
        months -= 1
    return add(anchor, months), add(anchor, months + 1)


def share(part: timedelta, whole: timedelta) -> Fraction:
    """How much of `whole` `part` is, exactly: at least 0, at most 1."""
    ratio = Fraction(part // timedelta.resolution, whole // timedelta.resolution)
    return min(max(ratio, Fraction(0)), Fraction(1))
