"""Make the tables of an app at once, in their final form, when none of its migrations was ever applied.

dj-stripe first creates sixty tables and then removes five hundred columns, and Django renders all models anew for each
of them: 40 seconds for every new database. The result is the same when its migrations only change tables: the state is
carried through all of them, and the tables are made from the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.migrations import operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState

APPS = frozenset({"djstripe"})
# What leaves nothing behind but the tables; RunPython and RunSQL may do anything.
CHANGES_TABLES_ONLY = (
    operations.AddField,
    operations.AlterField,
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.AlterUniqueTogether,
    operations.CreateModel,
    operations.DeleteModel,
    operations.RemoveField,
)

Plan = Sequence[tuple[Migration, bool]]


class FreshTablesExecutor(MigrationExecutor):
    _last_of: dict[str, Migration]

    def migrate(
        self,
        targets: Sequence[tuple[str, str | None]] | None,
        plan: Plan | None = None,
        state: ProjectState | None = None,
        fake: bool = False,
        fake_initial: bool = False,
    ) -> ProjectState:
        plan = self.migration_plan(targets or []) if plan is None else plan
        self._last_of = {label: last for label in APPS if (last := self._last_if_fresh(label, plan))}
        return super().migrate(targets, plan=plan, state=state, fake=fake, fake_initial=fake_initial)

    def apply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> ProjectState:
        last = self._last_of.get(migration.app_label)
        if last is None or fake:
            return super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        if self.progress_callback:
            self.progress_callback("apply_start", migration, fake)
        state.__dict__.pop("apps", None)  # nothing to render until the last
        state = migration.mutate_state(state, preserve=False)
        if migration is last:
            self._create_tables(state, migration.app_label)
        self.record_migration(migration)  # type: ignore[call-arg, arg-type]  # the stubs are of an older Django
        if self.progress_callback:
            self.progress_callback("apply_success", migration, fake)
        return state

    def _create_tables(self, state: ProjectState, label: str) -> None:
        with self.connection.schema_editor(atomic=True) as editor:
            for model in state.apps.get_app_config(label).get_models():
                if model._meta.can_migrate(self.connection):
                    editor.create_model(model)

    def _last_if_fresh(self, label: str, plan: Plan) -> Migration | None:
        """The last migration of `label` in `plan`, if the plan may take the short way for that app."""
        ours = [
            migration for migration, is_backwards in plan if migration.app_label == label and not is_backwards
        ]
        if not ours or len(ours) != sum(key[0] == label for key in self.loader.disk_migrations):
            return None
        if not all(
            isinstance(step, CHANGES_TABLES_ONLY) for migration in ours for step in migration.operations
        ):
            return None
        order = [migration for migration, _ in plan]
        between = order[order.index(ours[0]) : order.index(ours[-1])]
        for migration in between:
            if migration.app_label != label and any(needed[0] == label for needed in migration.dependencies):
                return None  # it needs the tables as they were half way
        return ours[-1]
