from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LicensingConfig(AppConfig):
    name = "licensing"

    def ready(self) -> None:
        from licensing import checks, outbox_handlers, receivers  # noqa: F401 - registering is what they are imported for

        post_migrate.connect(_seed_policies, sender=self)


def _seed_policies(**kwargs: Any) -> None:
    """After migrate, and after the flush of a test: the policies of the products that we ship."""
    from licensing import policies
    from superagent.foundation import tenancy

    with tenancy.system("seed license policies"):
        policies.seed()
