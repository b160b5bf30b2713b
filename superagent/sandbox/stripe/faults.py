"""Faults on demand: requests that time out after their work, fail, are rate limited, slow or refused; webhooks that are
repeated, reordered or delayed.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = ("timeout_after", "error_500", "rate_limited", "slow", "refuse")


class BadFault(ValueError):
    """The description of a fault is invalid."""


@dataclass
class RequestFault:
    """What happens to the next `times` requests that match its method and path."""

    kind: str
    method: str = ""
    path: str = "/v1/"
    times: int = 1
    seconds: float = 30.0

    def fits(self, method: str, path: str) -> bool:
        """Returns whether a request matches."""
        return self.times > 0 and self.method in ("", method) and path.startswith(self.path)


@dataclass
class WebhookFault:
    """Deliveries are repeated, reordered or delayed."""

    duplicate: int = 0
    shuffle: bool = False
    pause: bool = False


@dataclass
class Faults:
    """The active faults; kept in memory only."""

    requests: list[RequestFault] = field(default_factory=list)
    webhooks: WebhookFault = field(default_factory=WebhookFault)

    def switch(self, body: dict[str, Any]) -> None:
        """Activate the faults that a POST to /_sandbox/stripe/faults describes."""
        # The names of webhook faults are also understood without the group around them.
        loose = {name: body[name] for name in asdict(self.webhooks) if name in body}
        webhooks = loose | body.get("webhooks", {})
        for name, value in webhooks.items():
            if not hasattr(self.webhooks, name):
                raise BadFault(f"webhooks.{name} is not known")
            setattr(self.webhooks, name, type(getattr(self.webhooks, name))(value))
        if "kind" in body:
            if body["kind"] not in KINDS:
                raise BadFault(f"kind must be one of {', '.join(KINDS)}")
            match = body.get("match") or {}
            self.requests.append(
                RequestFault(
                    kind=body["kind"],
                    method=str(match.get("method") or "").upper(),
                    path=str(match.get("path") or match.get("path_prefix") or "/v1/"),
                    times=int(body.get("times", 1)),
                    seconds=float(body.get("seconds", 30)),
                )
            )
        if "kind" not in body and not webhooks:
            raise BadFault("give `kind` with `match`, or `webhooks`")

    def clear(self) -> None:
        """Deactivate all faults."""
        self.requests.clear()
        self.webhooks = WebhookFault()

    def take(self, method: str, path: str) -> RequestFault | None:
        """Returns the fault that matches this request, and counts it."""
        for fault in self.requests:
            if fault.fits(method, path):
                fault.times -= 1
                return fault
        return None

    def describe(self) -> dict[str, Any]:
        """Returns the active faults."""
        return {
            "requests": [asdict(fault) for fault in self.requests if fault.times > 0],
            "webhooks": asdict(self.webhooks),
        }


faults = Faults()
