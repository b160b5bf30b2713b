"""What a pricing link chose, so that the sign-up page can show it. The upper floor that sells provides it."""

from collections.abc import Mapping
from dataclasses import dataclass

from superagent.foundation.ports import Port


@dataclass(frozen=True, slots=True)
class Offer:
    """`unit_amount` in minor units of `currency`, for each `interval`."""

    name: str
    unit_amount: int
    currency: str
    interval: str


@Port
def find(chosen: Mapping[str, str]) -> Offer | None:
    """Returns what `{plan or product, interval}` is; None if it is not for sale."""
    return None
