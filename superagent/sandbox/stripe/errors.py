"""Errors in Stripe's form: a status and a body {"error": {type, code, message, param, …}}."""

from typing import Any


class StripeError(Exception):
    """An error response. `keeps_changes` commits what the request did before it failed."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps_changes: bool = False,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.keeps_changes = keeps_changes
        self.details = details

    def body(self, request_id: str) -> dict[str, Any]:
        """Returns the body of the answer."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        error.update({key: value for key, value in self.details.items() if value is not None})
        return {"error": error}


def missing(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """Returns the error for an object that does not exist."""
    return StripeError(f"No such {kind}: '{object_id}'", status=status, code="resource_missing", param=param)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    """Returns a 400 for a request that cannot be carried out."""
    return StripeError(message, param=param, code=code)


def unsupported(name: str) -> StripeError:
    """Returns the error for a real parameter that this sandbox does not implement."""
    return StripeError(f"The sandbox does not support `{name}`.", param=name, code="sandbox_unsupported")


def refuse_enabled(params: dict[str, Any], *names: str) -> None:
    """Raise for features that are not implemented here and are switched on by `enabled`."""
    for name in names:
        if (params.get(name) or {}).get("enabled"):
            raise unsupported(f"{name}[enabled]")


def refuse(params: dict[str, Any], *names: str) -> None:
    """Raise for real parameters that would change the outcome but are not implemented here."""
    for name in names:
        if params.get(name) not in (None, "", [], {}):
            raise unsupported(name)
