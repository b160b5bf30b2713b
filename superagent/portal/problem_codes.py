"""Every code that a problem document can bear: collected from the refusals themselves, so that none is forgotten."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from licensing.validation import Code
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
        "The plan's hard limit leaves less than was asked for. Wait for Retry-After, or change the plan."
    ),
    "rate_limited": _("Too many requests in a short time. Wait for Retry-After, and slow down."),
    "throttled": _("Too many requests in a short time. Wait for Retry-After, and slow down."),
    "too_many_attempts": _("Wait for Retry-After before the next attempt."),
    "idempotency_key_reused": _("Send the first body again for the first answer, or choose a new key."),
    "price_changed": _("Show the new total to the buyer, and order again with it."),
    "email_not_verified": _(
        "Confirm the email address by the link in our mail (Your account, Email, sends another one), then try again."
    ),
    "payments_unavailable": _("Stripe cannot be reached. Nothing was charged; try again in a few minutes."),
    "payment_due": _(
        "Pay the invoice at pay_url. Until then nothing is sold or changed; you can still cancel."
    ),
    "change_pending": _(
        "Take back what is coming by billing/subscription/resume, a license's by subscriptions/{id}/resume."
    ),
    "subscription_ending": _(
        "Take back the cancellation by billing/subscription/resume, a license's by subscriptions/{id}/resume."
    ),
    "license_without_subscription": _("Buy the tier that you want, or write to support."),
    "license_suspended": _("Write to support to have the suspension lifted, then change."),
    "card_declined": _("Use another card, or ask the bank. detail has the bank's reason."),
    "too_many_streams": _("Close a stream first, or share one among your programs."),
    "not_reported_by_you": _(
        "Only what your organization reported can be taken back. Ask support if it is wrong."
    ),
    "event_is_billed": _("Its usage period is closed and billed. Ask support for a correction."),
    "event_too_old": _("Events are taken back within 35 days. Ask support for a correction."),
    "email_taken": _("Log in, or reset the password."),
    "invalid_api_key": _("The key is unknown, expired or revoked. Create one in the portal."),
    "token_invalid": _("Log in again, or use the refresh token."),
    "conflict": _("Send the first event again as it was, or choose a new event_id."),
    "unsupported_encoding": _("Send the body uncompressed, or compressed by gzip."),
    "PENDING": _("It works once the payment has arrived."),
    "SUSPENDED": _("Pay what is overdue, or ask our support if staff suspended it."),
    "EXPIRED": _("Renew the subscription, or buy a new license."),
    "REVOKED": _("It will not work again. Ask our support if you do not know why."),
    "NOT_ACTIVATED": _("Call licenses/activate with the server's fingerprint first."),
    "HEARTBEAT_DEAD": _("Activate the server again."),
    "TOO_MANY_ACTIVATIONS": _("Deactivate a server that is no longer used, or buy a larger license."),
    "FINGERPRINT_REQUIRED": _("Send fingerprint."),
    "FEATURE_NOT_INCLUDED": _("A larger product may include it."),
    "NOT_FOUND": _("Check the license key."),
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
    (
        "user_token_required",
        HTTPStatus.UNAUTHORIZED,
        gettext_noop("An API key cannot do this: send the access token of a person"),
    ),
)

# What only licenses/validate says, in an answer that is no problem.
_VERDICTS = {
    Code.VALID: gettext_noop("The license allows it"),
    Code.FINGERPRINT_REQUIRED: gettext_noop("The license is bound to servers: name yours"),
}


def every() -> list[ProblemCode]:
    """All codes, by status and name, each once."""
    found = {code: (int(status), title) for code, status, title in _FRAMEWORK}
    for refusal in _refusals(Refusal):
        for code, title in (refusal.codes or {refusal.code: refusal.title}).items():
            found.setdefault(str(code), (int(refusal.status), title))
    for code in Code:
        found.setdefault(code.value, (int(HTTPStatus.OK), _VERDICTS.get(code, "")))
    codes = [
        ProblemCode(code, status, title, str(REMEDIES.get(code, "")))
        for code, (status, title) in found.items()
    ]
    return sorted(codes, key=lambda entry: (entry.status, entry.code.lower()))


def _refusals(base: type[Refusal]) -> Iterator[type[Refusal]]:
    for refusal in base.__subclasses__():
        if not {"code", "codes"}.isdisjoint(vars(refusal)) and not inspect.isabstract(refusal):
            yield refusal
        yield from _refusals(refusal)
