"""Stripe's test cards: what each number does, and the checks of a typed card."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

GENERIC = "Your card was declined."


@dataclass(frozen=True)
class Behavior:
    """What a card does. `attach` and `charge` are decline codes; the bank may require authentication.

    `pays_at_checkout` lets the first payment on the hosted page succeed, so that the renewal fails.
    """

    attach: str | None = None
    charge: str | None = None
    pays_at_checkout: bool = False
    authenticate: str = "never"  # never, unless_set_up or always


NUMBERS: dict[str, Behavior] = {
    "4242424242424242": Behavior(),
    "4000056655665556": Behavior(),
    "5555555555554444": Behavior(),
    "2223003122003222": Behavior(),
    "378282246310005": Behavior(),
    "6011111111111117": Behavior(),
    "4000000000000002": Behavior(attach="generic_decline", charge="generic_decline"),
    "4000000000009995": Behavior(attach="insufficient_funds", charge="insufficient_funds"),
    "4000000000009987": Behavior(attach="lost_card", charge="lost_card"),
    "4000000000000069": Behavior(attach="expired_card", charge="expired_card"),
    "4000000000000127": Behavior(attach="incorrect_cvc", charge="incorrect_cvc"),
    "4000000000000119": Behavior(attach="processing_error", charge="processing_error"),
    "4000000000000341": Behavior(charge="generic_decline", pays_at_checkout=True),
    "4000002500003155": Behavior(authenticate="unless_set_up"),
    "4000002760003184": Behavior(authenticate="always"),
    "4000008260003178": Behavior(authenticate="always", charge="insufficient_funds"),
}

# What `pm_card_…` and `tok_…` stand for.
NAMES = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequiredOnSetup": "4000002500003155",
    "threeDSecure2Required": "4000002760003184",
    "authenticationRequired": "4000002760003184",
}

# Decline code → (error code, message).
DECLINES = {
    "generic_decline": ("card_declined", GENERIC),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "lost_card": ("card_declined", GENERIC),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}


@dataclass(frozen=True)
class Card:
    """A card that passed the checks."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str


class InvalidCard(ValueError):
    """A typed field that cannot be right: which one, and what to do."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.message = message


def luhn_holds(number: str) -> bool:
    """Returns whether the check digit fits."""
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def check_number(text: str) -> str:
    """Returns the digits of a card number."""
    number = re.sub(r"[\s-]", "", text)
    if not number:
        raise InvalidCard("cardNumber", "incomplete_number", "Enter your card number.")
    if not number.isdigit() or not 12 <= len(number) <= 19:
        raise InvalidCard("cardNumber", "incomplete_number", "Your card number is incomplete.")
    if not luhn_holds(number):
        raise InvalidCard("cardNumber", "incorrect_number", "Your card number is invalid.")
    return number


def check_expiry(month: int, year: int) -> None:
    """Refuse a month that is past or impossible."""
    today = datetime.now(UTC)
    if not 1 <= month <= 12:
        raise InvalidCard("cardExpiry", "invalid_expiry_month", "Your card's expiration month is invalid.")
    if (year, month) < (today.year, today.month):
        raise InvalidCard("cardExpiry", "invalid_expiry_year", "Your card's expiration date is in the past.")
    if year > today.year + 50:
        raise InvalidCard("cardExpiry", "invalid_expiry_year", "Your card's expiration year is invalid.")


def check(number: str, expiry: str, cvc: str) -> tuple[Card | None, dict[str, str]]:
    """Check a typed card. Returns it, or what is wrong by the name of each field."""
    errors: dict[str, str] = {}
    digits, month, year = "", 0, 0
    try:
        digits = check_number(number)
    except InvalidCard as error:
        errors[error.field] = error.message
    found = re.fullmatch(r"\s*(\d{1,2})\s*[/\- ]?\s*(\d{2}|\d{4})\s*", expiry)
    if not found:
        errors["cardExpiry"] = "Enter the expiration date as MM / YY."
    else:
        month, year = int(found[1]), int(found[2])
        year += 2000 if year < 100 else 0
        try:
            check_expiry(month, year)
        except InvalidCard as error:
            errors[error.field] = error.message
    length = 4 if digits.startswith(("34", "37")) else 3
    if not re.fullmatch(rf"\d{{{length}}}", cvc.strip()):
        errors["cardCvc"] = f"Enter the {length}-digit security code of your card."
    return (None, errors) if errors else (Card(digits, month, year, cvc.strip()), {})


def brand(number: str) -> str:
    """Returns the network of a card number."""
    if number.startswith(("34", "37")):
        return "amex"
    if number.startswith("4"):
        return "visa"
    if number.startswith(("5", "2")):
        return "mastercard"
    return "discover" if number.startswith("6") else "unknown"


def behavior(method: dict[str, Any]) -> Behavior:
    """Returns what the card behind a payment method does. Numbers that are not test cards decline."""
    return NUMBERS.get(method["_number"], Behavior(attach="generic_decline", charge="generic_decline"))
