"""Identifiers in Stripe's style: a prefix that names the kind, then random letters and digits."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits

LENGTHS = {"cus": 14, "prod": 14, "re": 24, "cs_test": 58, "whsec": 32, "bps": 24, "req": 14}


def new(prefix: str) -> str:
    """Returns a fresh identifier such as `cus_Q3v…`."""
    length = LENGTHS.get(prefix, 24)
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(length))


def client_secret(object_id: str) -> str:
    """Returns the client secret of a payment intent or setup intent."""
    return f"{object_id}_secret_" + "".join(secrets.choice(ALPHABET) for _ in range(24))


def invoice_prefix() -> str:
    """Returns eight upper-case characters with which a customer's invoice numbers begin."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(8))


def promotion_code() -> str:
    """Returns a code for a promotion that was created without one."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(8))
