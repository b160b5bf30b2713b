from django.apps import AppConfig


class SuperagentConfig(AppConfig):
    """The product itself: composition and management commands; it has no models."""

    name = "superagent"
    verbose_name = "SuperAgent"

    def ready(self) -> None:
        from superagent import celery  # noqa: F401 - its application becomes the one that tasks are sent with
