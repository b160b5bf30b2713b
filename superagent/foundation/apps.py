from django.apps import AppConfig
from django.db.models.signals import post_migrate


class FoundationConfig(AppConfig):
    """The lowest floor: what every app stands on and what knows no app."""

    name = "superagent.foundation"
    label = "foundation"

    def ready(self) -> None:
        from superagent.foundation import row_security

        # Sent once for each app after all of them have migrated: one of them is enough.
        post_migrate.connect(row_security.apply, sender=self)
