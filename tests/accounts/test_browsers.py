"""Browsers have names; other text of a User-Agent header is cut."""

import pytest

from accounts.templatetags.audit_labels import browser_label


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Windows",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Linux",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Unknown"),
    ],
)
def test_browsers_have_names(user_agent: str, words: str) -> None:
    assert browser_label(user_agent) == words
