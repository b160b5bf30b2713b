"""Every code that an answer can bear is explained where its `type` leads."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from licensing import usage
from licensing.validation import Code
from superagent.foundation.problems import Refusal
from superagent.portal import problem_codes


def test_every_refusal_and_license_code_has_a_row_on_the_page(client: Client, db: None) -> None:
    """Licensing and API A6: seven codes that answers linked to were missing."""
    html = client.get("/docs/problems").content.decode()
    codes = {
        code for refusal in problem_codes._refusals(Refusal) for code in (refusal.codes or {refusal.code})
    }
    codes |= {code.value for code in Code}
    assert len(codes) > 50
    assert [code for code in sorted(codes) if f'id="{code}"' not in html] == []
    assert set(problem_codes.REMEDIES) <= {entry.code for entry in problem_codes.every()}


def test_a_license_is_stopped_by_declared_codes_only() -> None:
    stopped = usage.LicenseRefused("It has ended.", Code.EXPIRED)
    assert (stopped.code, stopped.title) == ("EXPIRED", "The license has expired")
    with pytest.raises(KeyError):
        usage.LicenseRefused("It is fine.", Code.VALID)


def test_codes_are_in_one_style_but_for_those_of_licenses() -> None:
    """`licenses/validate` fixed its codes in capitals; all others are snake_case."""
    of_licenses = {code.value for code in Code}
    for entry in problem_codes.every():
        assert entry.code in of_licenses or re.fullmatch(r"[a-z]+(_[a-z]+)*", entry.code), entry.code
        assert entry.title, entry.code
