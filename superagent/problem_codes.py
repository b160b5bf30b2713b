"""Every code that a problem document can bear: collected from the refusals themselves, so that none is forgotten."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from superagent.foundation.problems import Refusal


@dataclass(frozen=True, slots=True)
class ProblemCode:
    code: str
    status: int
    title: str
    remedy: str

    @property
    def phrase(self) -> str:
        return HTTPStatus(self.status).phrase


# What to do about it, where the title does not say so by itself.
REMEDIES = {
    "invalid": _("Look at errors: each names the field by a JSON pointer and says what to send instead."),
    "not_found": _(
        "Check the id. Objects of other organizations are not found either: X-Organization-Id chooses yours."
    ),
    "forbidden": _("Your role or key does not include this. Ask an owner or admin of the organization."),
    "insufficient_scope": _("Create a key that has the scope named in scope, or ask for another role."),
    "quota_exceeded": _(
        "The hard allowance of the plan is used up. Wait for Retry-After, or change the plan."
    ),
    "rate_limited": _("Too many requests in a short time. Wait for Retry-After, and slow down."),
    "throttled": _("Too many requests in a short time. Wait for Retry-After, and slow down."),
    "too_many_attempts": _("Wait for Retry-After before the next attempt."),
    "idempotency_key_reused": _("Send the first body again for the first answer, or choose a new key."),
    "price_changed": _("Show the new total to the buyer, and order again with it."),
    "email_not_verified": _("Confirm the e-mail address by the link in our mail, then buy again."),
    "payments_unavailable": _("Stripe cannot be reached. Nothing was charged; try again in a few minutes."),
    "card_declined": _("Use another card, or ask the bank. detail has the bank's reason."),
    "email_taken": _("Log in, or reset the password."),
    "invalid_api_key": _("The key is unknown, expired or revoked. Create one in the portal."),
    "token_invalid": _("Log in again, or use the refresh token."),
    "LIMIT_REACHED": _("The license includes no more of this feature. A larger plan does."),
    "temporarily_unavailable": _("Wait for Retry-After, then send the same request again."),
    "internal_error": _("It has been reported. If you write to us, name the request id."),
}

# Those that come from the framework and not from a refusal of ours.
_FRAMEWORK = (
    ("not_authenticated", HTTPStatus.UNAUTHORIZED, gettext_noop("Send an API key or an access token")),
    ("parse_error", HTTPStatus.BAD_REQUEST, gettext_noop("The body is not JSON")),
    (
        "method_not_allowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        gettext_noop("This address does not take this method"),
    ),
    ("unsupported_media_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, gettext_noop("Send application/json")),
    ("not_acceptable", HTTPStatus.NOT_ACCEPTABLE, gettext_noop("The API answers in JSON only")),
    ("throttled", HTTPStatus.TOO_MANY_REQUESTS, gettext_noop("Too many requests")),
)


def every() -> list[ProblemCode]:
    """All codes, by status and name, each once."""
    found = {code: (int(status), title) for code, status, title in _FRAMEWORK}
    for refusal in _refusals(Refusal):
        found.setdefault(refusal.code, (int(refusal.status), refusal.title))
    codes = [
        ProblemCode(code, status, title, str(REMEDIES.get(code, "")))
        for code, (status, title) in found.items()
    ]
    return sorted(codes, key=lambda entry: (entry.status, entry.code.lower()))


def _refusals(base: type[Refusal]) -> Iterator[type[Refusal]]:
    for refusal in base.__subclasses__():
        if "code" in vars(refusal) and not inspect.isabstract(refusal):
            yield refusal
        yield from _refusals(refusal)
