"""Money: integers in the currency's minor unit, rates as Decimal, one rounding for each line in a named direction."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from django.utils.translation import gettext as _

_SCALES = (1, 1_000, 1_000_000)

# Source: https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL_CURRENCIES = frozenset(
    (
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    )
)


@dataclass(frozen=True, slots=True)
class Money:
    """`amount` in minor units (cents) of `currency` (lower-case ISO 4217)."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        return f"{major_units(self.amount, self.currency)} {self.currency.upper()}"


class CurrencyMismatch(ValueError):
    """Amounts in two currencies were added."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"cannot add {right} to {left}")


def decimal_places(currency: str) -> int:
    return 0 if currency in ZERO_DECIMAL_CURRENCIES else 2


def major_units(amount: int | Decimal, currency: str) -> Decimal:
    """Returns `amount` minor units as a Decimal of the main unit: 2340 usd is 23.40; fractions of a cent are kept."""
    places = decimal_places(currency)
    value = Decimal(amount).scaleb(-places)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent > -places:  # of a finite number it is
        value = value.quantize(Decimal(1).scaleb(-places))
    return value


def rate_text(rate: Decimal, currency: str) -> str:
    """Returns `rate` minor units a unit as a price of the smallest of 1, 1,000 and 1,000,000 units that is whole minor
    units: "$0.50 per 1,000".
    """
    scale = next((scale for scale in _SCALES if (rate * scale) % 1 == 0), _SCALES[-1])
    amount = major_units(rate * scale, currency)
    smallest = Decimal(1).scaleb(-decimal_places(currency))
    if amount == amount.quantize(smallest):
        amount = amount.quantize(smallest)
    shown = f"${amount}" if currency == "usd" else f"{amount} {currency.upper()}"
    if scale == 1:
        return _("%(amount)s each") % {"amount": shown}
    if scale == 1_000_000:
        return _("%(amount)s per million") % {"amount": shown}
    return _("%(amount)s per %(scale)s") % {"amount": shown, "scale": f"{scale:,}"}


def round_down(amount: Decimal) -> int:
    """Returns whole minor units, rounded toward -infinity: usage is never charged a fraction of a cent too much."""
    return int(amount.to_integral_value(ROUND_FLOOR))
