from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from licensing import signing, vault


@checks.register(checks.Tags.security)
def check_license_secrets(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check that both secrets are set and well-formed in production: without them no license can be issued."""
    if not settings.IS_SECURE:
        return []
    found: list[checks.CheckMessage] = []
    for open_secret, number in ((vault.check, 1), (signing.signing_keys, 2)):
        try:
            open_secret()
        except ImproperlyConfigured as error:
            found.append(checks.Error(str(error), id=f"licensing.E00{number}"))
    return found
