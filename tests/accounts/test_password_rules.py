"""L5: common passwords with ornaments, and the names of where one logs in."""

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts import password_rules
from tests.accounts.conftest import PASSWORD


@pytest.mark.parametrize("weak", [
    "Password123!", "iloveyou1234", "Passw0rd12", "P@ssw0rd12", "passwordpassword", "superagent123", "SuperAgent2026",
])  # fmt: skip
def test_what_is_guessed_first_is_refused(db, weak):
    with pytest.raises(ValidationError):
        validate_password(weak)


@pytest.mark.parametrize(
    "good", [PASSWORD, "correct horse battery", "Lantern-Harbor-29", "superagent is not my favourite"]
)
def test_others_pass(db, good):
    validate_password(good)


def test_the_name_of_the_own_organization_is_refused(acme, owner):
    with pytest.raises(ValidationError):
        password_rules.ContextPasswordValidator().validate("Acme-2026!!", owner)
    with pytest.raises(ValidationError):
        password_rules.check_context("engines-2026", ["Engines"])
