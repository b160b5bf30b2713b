from typing import Any

from django.core.management.commands import migrate

from superagent.foundation.fresh_tables import FreshTablesExecutor


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        # Django's command offers no other way to choose its executor.
        migrate.MigrationExecutor = FreshTablesExecutor  # type: ignore[attr-defined]  # a subclass, see above
        super().handle(*args, **options)
