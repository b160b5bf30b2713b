"""What PostgreSQL writes into its log: never the values of a statement that failed."""

from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import registration
from accounts.models import User
from superagent.foundation import tenancy

pytestmark = pytest.mark.django_db


def log() -> Path:
    return Path(settings.EMBEDDED_DATA_DIR) / "postgres.log"


def test_a_taken_address_and_the_password_that_was_typed_are_not_logged() -> None:
    def register() -> None:
        registration.register(
            email="grace@secretplace.example",
            password="seven words that nobody guesses",
            full_name="Grace",
            organization_name="",
            now=timezone.now(),
        )

    before = log().stat().st_size
    register()
    with pytest.raises(registration.EmailTaken):
        register()
    assert b"secretplace" not in log().read_bytes()[before:]


def test_a_failed_statement_is_logged_without_its_values() -> None:
    with tenancy.system("test"):
        User.objects.create(email="ada@secretplace.example", password="the hash")
        before = log().stat().st_size
        with pytest.raises(IntegrityError, match="accounts_user_email"), transaction.atomic():
            User.objects.create(email="ada@secretplace.example", password="the hash")
    written = log().read_bytes()[before:]
    assert b"accounts_user_email" in written  # the error itself is told
    assert b"secretplace" not in written
    assert b"the hash" not in written
    with connection.cursor() as cursor:
        cursor.execute("SHOW log_error_verbosity")
        assert cursor.fetchone() == ("terse",)
