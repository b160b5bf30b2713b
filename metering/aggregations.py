"""What a meter makes of its events, in an hour and in a usage period; decision 44.

| aggregation | events of an hour | hours of a period | void | quota | charged |
|---|---|---|---|---|---|
| sum | quantities, added up | added up | subtracts | total used | units beyond the allowance |
| count | how many | added up | subtracts one | total used | events beyond it |
| max | the highest quantity | the highest | the hour is read again | the level | the level beyond it |
| latest | the quantity of the latest | the latest | the hour is read again | the level | the level beyond it |
| unique | distinct values of a property | distinct values | the hour is read again | how many | values beyond it |

`sum` and `count` add up: whatever is recorded, taken back or moved changes each of their figures by its quantity, and
hours are kept as sums (`UsageRollup`). An event of a `count` meter has the quantity one. The three others are levels:
an event changes a figure by the difference between what it was before and what it is with the event, and hours are kept
as the events that decide them (`HourlyLevel`, see rating.levels).
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

MAX_VALUE = 200
"""Characters of a distinct value."""


class Aggregation(models.TextChoices):
    SUM = "sum", _("Sum: quantities are added up")
    COUNT = "count", _("Count: each event counts one")
    MAX = "max", _("Max: the highest quantity")
    LATEST = "latest", _("Latest: the quantity of the latest event")
    UNIQUE = "unique", _("Unique: the number of distinct values of a property")

    @property
    def adds_up(self) -> bool:
        """True if hours and periods are sums. A share of a month then includes a share of the allowance."""
        return self in ADDING_UP

    @property
    def has_quantity(self) -> bool:
        """True if events carry a quantity; otherwise each event counts as one."""
        return self not in (Aggregation.COUNT, Aggregation.UNIQUE)

    @property
    def is_gauge(self) -> bool:
        """True if a quota limits the level of an event, not the total."""
        return self in (Aggregation.MAX, Aggregation.LATEST)

    def fits(self, *, quantity: int, used: int, limit: int) -> bool:
        """Returns whether `quantity` more is within `limit`: units, values that are new, or a level that is reached."""
        return quantity <= limit if self.is_gauge else used + quantity <= limit


ADDING_UP = (Aggregation.SUM, Aggregation.COUNT)

# --- The same in SQL, of rows `f` (value, quantity, moment, event_id) and their meter `m`

ADDS_UP = "m.aggregation IN ('sum', 'count')"

LEVEL = """CASE m.aggregation
    WHEN 'max' THEN coalesce(max(f.quantity), 0)
    WHEN 'latest' THEN coalesce((array_agg(f.quantity ORDER BY f.moment DESC, f.event_id DESC))[1], 0)
    WHEN 'unique' THEN count(DISTINCT f.value)
END"""
"""The level of a group of events, or of the events that decide its hours."""


def value_of(event: str) -> str:
    """The value that an event stands for, as 16 bytes; all events of `max` and `latest` stand for the same."""
    name = f"{event}.properties ->> m.value_property"
    return (
        f"CASE m.aggregation WHEN 'unique' THEN substring(sha256(convert_to({name}, 'UTF8')) FOR 16)"
        " ELSE ''::bytea END"
    )


def order_of(row: str, aggregation: str = "m.aggregation") -> tuple[str, str, str]:
    """Of the events of an hour with one value, the last in this order decides the hour."""
    return f"CASE {aggregation} WHEN 'max' THEN {row}.quantity ELSE 0 END", f"{row}.moment", f"{row}.event_id"
