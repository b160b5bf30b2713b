"""Settings of the sandbox, from its environment."""

import os
from dataclasses import dataclass, field
from pathlib import Path


def _number(name: str, default: float) -> float:
    return float(os.environ.get(name, "") or default)


@dataclass
class Settings:
    """Address, data directory, webhook retries and timers."""

    port: int = field(default_factory=lambda: int(_number("SANDBOX_PORT", 8100)))
    data_dir: Path = field(default_factory=lambda: Path(os.environ.get("DATA_DIR", "") or ".data"))
    public_url: str = field(default_factory=lambda: os.environ.get("SANDBOX_URL", ""))
    # The first retry of a webhook comes after this many seconds; each later one waits twice as long, up to the limit.
    webhook_retry_seconds: float = field(
        default_factory=lambda: _number("SANDBOX_WEBHOOK_RETRY_SECONDS", 1.0)
    )
    webhook_retry_limit_seconds: float = 60.0
    webhook_attempts: int = field(default_factory=lambda: int(_number("SANDBOX_WEBHOOK_ATTEMPTS", 20)))
    webhook_timeout_seconds: float = field(
        default_factory=lambda: _number("SANDBOX_WEBHOOK_TIMEOUT_SECONDS", 20.0)
    )
    # What becomes of a subscription when all retries of a payment have failed: cancel, unpaid or past_due.
    dunning_outcome: str = field(
        default_factory=lambda: os.environ.get("SANDBOX_DUNNING_OUTCOME", "") or "cancel"
    )
    # Days before a renewal at which `invoice.upcoming` is sent.
    upcoming_days: int = field(default_factory=lambda: int(_number("SANDBOX_UPCOMING_DAYS", 7)))
    engine_seconds: float = field(default_factory=lambda: _number("SANDBOX_ENGINE_SECONDS", 1.0))

    @property
    def url(self) -> str:
        """Returns the address at which browsers reach the sandbox."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")


settings = Settings()
