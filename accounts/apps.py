from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import outbox_handlers, receivers, schema  # noqa: F401  # importing registers what is in them
