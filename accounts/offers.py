"""A port: the upper floor that sells tells what a pricing link chose, so that the sign-up page can show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """`unit_amount` in minor units of `currency`, for each `interval`."""

    name: str
    unit_amount: int
    currency: str
    interval: str


Lookup = Callable[[Mapping[str, str]], Offer | None]
_lookups: list[Lookup] = []


def provide(lookup: Lookup) -> None:
    """Called once, in a `ready()`: what `{plan or product, interval}` is, None if it is not for sale."""
    _lookups[:] = [lookup]


def find(chosen: Mapping[str, str]) -> Offer | None:
    return _lookups[0](chosen) if chosen and _lookups else None
