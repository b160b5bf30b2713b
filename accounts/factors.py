"""Authentication factors by the names that the audit trail uses: `password`, `totp`, `google` …"""

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from accounts.models import User

PASSWORD = "password"  # noqa: S105  # the name of a factor
OF_AUTHENTICATOR = {
    Authenticator.Type.TOTP.value: "totp",
    Authenticator.Type.RECOVERY_CODES.value: "recovery_code",
    Authenticator.Type.WEBAUTHN.value: "passkey",
}


def of_session(request: HttpRequest, user: User) -> list[str]:
    """Returns the factors verified in this session, each once, in order."""
    shown = [_named(record) for record in get_authentication_records(request, user)]
    return list(dict.fromkeys(shown))


def _named(record: dict[str, str]) -> str:
    """Returns the factor of one of allauth's authentication records."""
    if record["method"] == "mfa":
        return OF_AUTHENTICATOR.get(record["type"], record["type"])
    return record.get("provider") or record["method"]
