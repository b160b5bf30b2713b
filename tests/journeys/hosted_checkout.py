"""Paying on Stripe's hosted page, as a person without a browser: read the form, fill it in, send it."""

import re
from urllib.parse import urlsplit

from tests.fixtures import loopback

GOOD_CARD = "4242424242424242"


def pay(url: str, *, card: str = GOOD_CARD) -> str:
    """Pay the session at `url`; answers the address that the page sends the payer back to."""
    parts = urlsplit(url)
    with loopback.Client(base_url=f"{parts.scheme}://{parts.netloc}", follow_redirects=False) as client:
        page = client.get(parts.path)
        page.raise_for_status()
        form = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page.text)) | {
            "cardNumber": card,
            "cardExpiry": "12 / 34",
            "cardCvc": "123",
            "billingName": "Ada Lovelace",
            "action": "pay",
        }
        answer = client.post(parts.path, data=form)
        assert answer.status_code in (302, 303), answer.text
        return answer.headers["Location"]
