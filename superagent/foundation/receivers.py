"""Receivers of Django's signals."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from superagent.foundation import row_security


@receiver(post_migrate)
def apply_row_security(*, app_config: AppConfig, using: str, **_: Any) -> None:
    """Sent once for each app after all of them have migrated: one of them is enough."""
    if app_config.label == "foundation":
        row_security.apply(using=using)
