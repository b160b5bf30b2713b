from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OperationsConfig(AppConfig):
    """Health, metrics, logs, backlogs and the admin's home; no models."""

    name = "superagent.operations"
    default = True

    def ready(self) -> None:
        # celery: its application becomes the one that tasks are sent with; checks: registers them;
        # health: workers and beat give signs of life
        from superagent import celery  # noqa: F401 - imported for its effect
        from superagent.operations import checks, health  # noqa: F401 - imported for their effect


class AdminSiteConfig(admin.AdminConfig):
    """Django's admin with our site as the default one."""

    default = False
    default_site = "superagent.operations.admin_site.StaffSite"
