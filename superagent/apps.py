from django.apps import AppConfig


class SuperagentConfig(AppConfig):
    """The product itself: composition and management commands; it has no models."""

    name = "superagent"
    verbose_name = "SuperAgent"

    def ready(self) -> None:
        # celery: its application becomes the one that tasks are sent with; checks: registers them
        from superagent import celery, checks  # noqa: F401 - imported for their effect
