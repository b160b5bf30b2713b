"""Zero-based scales with four grid lines, and which series are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from django.utils.translation import gettext as _

from superagent.foundation.charts.figures import Axes, Number, Series

GRID_LINES = 4
MOST_SERIES = 6
TOP = 10
_STEPS = tuple(Decimal(step) for step in ("1", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10"))


def leading(series: Sequence[Series], keep: int = MOST_SERIES - 1) -> list[Series]:
    """Returns the `keep` largest series in their order and the sum of the others as "Other"; all if they fit."""
    if len(series) <= min(keep + 1, MOST_SERIES) and not any(entry.is_rest for entry in series):
        return list(series)
    ranked = sorted((entry for entry in series if not entry.is_rest), key=lambda entry: -total(entry.values))
    kept = ranked[:keep]
    rest = [entry for entry in series if entry not in kept]
    if not rest:
        return list(series)
    sums = tuple(total(values) for values in zip(*(entry.values for entry in rest), strict=True))
    return [entry for entry in series if entry in kept] + [Series(_("Other"), sums, is_rest=True)]


def colored(series: Sequence[Series]) -> list[Series]:
    """Returns the `series` that are drawn, each with its color, which it keeps when others are switched off."""
    return [
        replace(entry, css="series-other" if entry.is_rest else f"series-{number}")
        for number, entry in enumerate(leading(series), start=1)
    ]


def nice_ticks(highest: Number, *, is_whole: bool = True) -> list[Decimal]:
    """Returns zero and four round steps that reach `highest`."""
    needed = Decimal(highest) / GRID_LINES
    if needed <= 0:
        needed = Decimal(1) if is_whole else Decimal("0.25")
    magnitude = Decimal(1).scaleb(needed.adjusted())
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor >= needed)
    if is_whole:
        step = step.to_integral_value(ROUND_CEILING)
    return [step * index for index in range(GRID_LINES + 1)]


@dataclass(frozen=True, slots=True)
class Scale:
    ticks: tuple[Decimal, ...]
    bottom: int

    @classmethod
    def over(cls, values: Sequence[Number | None], axes: Axes) -> "Scale":
        highest = max((value for value in values if value is not None), default=0)
        return cls(tuple(nice_ticks(highest, is_whole=axes.is_whole)), TOP + axes.height)

    def y(self, value: Number) -> float:
        return self.bottom - float(Decimal(value) / self.ticks[-1]) * (self.bottom - TOP)


def total(values: Iterable[Number | None]) -> Number:
    return sum((value for value in values if value is not None), start=0)
