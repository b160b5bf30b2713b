"""Secrets of licensing: from the environment; in development created once under DATA_DIR."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def secrets_of(setting: str, configured: str, make: Callable[[], str]) -> list[str]:
    """Returns the comma-separated values of `setting`, newest first.

    Raises ImproperlyConfigured in production if there is none: a generated one could be lost with the disk.
    """
    values = [value.strip() for value in configured.split(",") if value.strip()]
    if values:
        return values
    if settings.IS_SECURE:
        raise ImproperlyConfigured(f"Set {setting}; .env.example says how to make one.")
    return [_kept(settings.DATA_DIR / "secrets" / setting.lower(), make)]


@lru_cache(maxsize=8)
def _kept(path: Path, make: Callable[[], str]) -> str:
    """Returns the secret in `path`, created by the first process: linking a file fails if it exists."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # made with mode 0600
            draft.write(make())
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text().strip()
