from django.apps import AppConfig
from django.contrib.admin import apps as admin


class SuperagentConfig(AppConfig):
    """The product itself: composition and management commands; it has no models."""

    name = "superagent"
    verbose_name = "SuperAgent"
    default = True

    def ready(self) -> None:
        # celery: its application becomes the one that tasks are sent with; checks: registers them;
        # health: workers and beat give signs of life
        from accounts import offers
        from superagent import celery, checks, health, sign_up_offers  # noqa: F401 - imported for their effect

        offers.provide(sign_up_offers.chosen_offer)


class WorkbenchConfig(admin.AdminConfig):
    """Django's admin with our site as the default one."""

    default = False
    default_site = "superagent.workbench.Workbench"
