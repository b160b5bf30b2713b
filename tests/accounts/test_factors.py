"""Factors of a session, as the audit trail names them."""

import pytest
from allauth.account.internal.flows.login import record_authentication
from django.test import RequestFactory

from accounts import factors
from accounts.models import AuditEntry
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, person


@pytest.mark.parametrize(
    "records, named",
    [
        ([{"method": "password"}], ["password"]),
        ([{"method": "password"}, {"method": "mfa", "type": "totp"}], ["password", "totp"]),
        ([{"method": "mfa", "type": "webauthn"}, {"method": "mfa", "type": "webauthn"}], ["passkey"]),
        (
            [{"method": "mfa", "type": "recovery_codes"}, {"method": "password"}],
            ["recovery_code", "password"],
        ),
        ([{"method": "socialaccount", "provider": "github", "uid": "1"}], ["github"]),
        ([], []),
    ],
)
def test_each_factor_is_named_once_in_order(rf: RequestFactory, db, records, named):
    request, user = rf.get("/"), person("ada@engines.example")
    request.session = {}
    for record in records:
        record_authentication(request, user, **record)
    assert factors.of_session(request, user) == named


def test_a_login_is_recorded_with_its_factors(client, db):
    person("ada@engines.example")
    client.post("/accounts/login/", {"login": "ada@engines.example", "password": PASSWORD})
    with tenancy.system("test"):
        entry = AuditEntry.objects.get(action="user.logged_in")
    assert entry.detail["factors"] == ["password"]
