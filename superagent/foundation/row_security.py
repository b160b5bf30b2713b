"""Who may touch which table, and the policies that wall off the rows of one organization.

After every migration, `apply` makes the database agree with what the models say:

- a model with an `organization_id` column is walled: ENABLE and FORCE ROW LEVEL SECURITY, one policy, rights for
  app_web. Another column is named by `row_security = row_security.Walled(column="id")` in the model; Facts are
  written once by app_web, a Projection not at all;
- its foreign keys to other walled models lead to rows of the same organization: PostgreSQL checks a foreign key past
  row-level security, so a second, restrictive policy looks whether app_web sees the row that is referred to;
- any other model says why it has no wall, by the class attribute `row_security`: Shared, Published or SystemOnly;
- tables of other people's apps are listed in THIRD_PARTY below;
- a table of which nothing is said is not granted to app_web, and a system check fails.

app_system may read and write every table. Nobody but the owner may truncate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from superagent.foundation.tenancy import SETTING, SYSTEM_ROLE

WEB_ROLE = "app_web"
POLICY = "tenant"
PARENTS_POLICY = "tenant_of_parents"


@dataclass(frozen=True)
class Walled:
    """app_web reads and writes the rows of the organization whose id is in `column`, within its scope.

    `trusted_parents` are columns whose rows are not looked up when app_web writes, because that would cost too much;
    the model gives the reason.
    """

    column: str = "organization_id"
    trusted_parents: tuple[str, ...] = ()
    rights = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

    @property
    def expression(self) -> str:
        # nullif: after a SET LOCAL has ended, the setting is '' and not null. A plain comparison, so that an
        # index on the column serves it and the planner's estimates stay right.
        return f"{self.column} = nullif(current_setting('{SETTING}', true), '')::uuid"

    @property
    def stored_expression(self) -> str:
        """`expression` as PostgreSQL prints it."""
        return f"({self.column} = (NULLIF(current_setting('{SETTING}'::text, true), ''::text))::uuid)"


class Facts(Walled):
    """Like Walled, but app_web cannot change rows once written: usage events, the audit trail."""

    rights = frozenset({"SELECT", "INSERT"})


class Projection(Walled):
    """Like Walled, but only the system writes: what Stripe or a job reports about the organization."""

    rights = frozenset({"SELECT"})


@dataclass(frozen=True)
class Shared:
    """app_web reads and writes every row."""

    reason: str
    rights = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


@dataclass(frozen=True)
class Published:
    """app_web reads every row; only the system writes."""

    reason: str
    rights = frozenset({"SELECT"})


@dataclass(frozen=True)
class SystemOnly:
    """app_web may not touch the table."""

    reason: str
    rights = frozenset[str]()


Access = Walled | Shared | Published | SystemOnly

_SIGN_IN = Shared("belongs to a user, who may be in several organizations, and is read before one is known")
# By app label, or by table where one app's tables differ.
THIRD_PARTY: dict[str, Access] = {
    "account": _SIGN_IN,
    "mfa": _SIGN_IN,
    "sessions": _SIGN_IN,
    "socialaccount": _SIGN_IN,
    "socialaccount_socialapp": Published("the keys of the sign-in providers are set by staff"),
    "usersessions": _SIGN_IN,
    "admin": SystemOnly("the admin's log spans organizations; the admin runs as the system"),
    "auth": SystemOnly("groups and permissions are for staff; the admin runs as the system"),
    "contenttypes": Published("names of models, the same for everyone"),
    "django_celery_beat": SystemOnly("a schedule runs tasks: only staff and the scheduler write it"),
    "djstripe": SystemOnly("Stripe's objects of all customers; the portal reads our projection"),
}


def access_of(model: type[models.Model]) -> Access | None:
    """Returns the access that `model` declares for its table, or None."""
    options = model._meta
    if isinstance(declared := getattr(model, "row_security", None), Access):
        return declared
    if listed := THIRD_PARTY.get(options.db_table) or THIRD_PARTY.get(options.app_label):
        return listed
    if any(field.column == Walled.column for field in options.local_concrete_fields):
        return Walled()
    # The table of a many-to-many field is as open as the model that has the field, unless that says otherwise; the
    # types say bool here.
    owner: Any = options.auto_created
    if owner:
        inherited = getattr(owner, "row_security_of_relations", None) or access_of(owner)
        return None if isinstance(inherited, Walled) else inherited
    return None


def parents_expression(model: type[models.Model], access: Walled) -> str:
    """Returns SQL that is true if app_web sees every walled row that a row of `model` refers to; "" if there are none.

    References to rows of the same table are left out: PostgreSQL refuses a policy that reads its own table.
    """
    table = model._meta.db_table
    seen = "({column} IS NULL OR EXISTS (SELECT 1 FROM {parent} parent WHERE parent.{key} = {column}))"
    return " AND ".join(
        seen.format(
            column=f"{table}.{field.column}", parent=parent._meta.db_table, key=parent._meta.pk.column
        )
        for field in model._meta.local_concrete_fields
        if (parent := field.related_model) not in (None, model)
        and field.column not in {access.column, *access.trusted_parents}
        and isinstance(access_of(parent), Walled)
    )


def tables() -> dict[str, type[models.Model]]:
    """Returns every table that Django manages, with its model."""
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }


@checks.register
def check_every_table_is_declared(**kwargs: Any) -> list[checks.CheckMessage]:
    return [
        checks.Error(
            f"{model._meta.label} has no organization_id and does not say who may touch {table}.",
            hint="Set row_security = row_security.Shared, Published or SystemOnly(reason) in the model.",
            obj=model,
            id="foundation.E001",
        )
        for table, model in tables().items()
        if access_of(model) is None
    ]


def apply(*, using: str) -> None:
    """Apply the differences only, so that an unchanged table is not locked.

    Does nothing without the right to create tables: `flush` sends post_migrate under any role.
    """
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        if cursor.fetchone() != (True,):
            return
        found = _read_state(connection)
        for table, model in tables().items():
            if table in found:
                access = access_of(model)
                parents = parents_expression(model, access) if isinstance(access, Walled) else ""
                for statement in _differences(connection, table, access, found[table]):
                    cursor.execute(statement)
                for statement in _parents_differences(connection, table, parents, found[table]):
                    cursor.execute(statement)
        cursor.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {SYSTEM_ROLE};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {SYSTEM_ROLE}, {WEB_ROLE};"
        )


@dataclass(frozen=True)
class _State:
    is_enabled: bool
    is_forced: bool
    policies: frozenset[tuple[str, str, str]]  # name, USING, WITH CHECK, but for PARENTS_POLICY
    parents: (
        str | None
    )  # what PARENTS_POLICY was made from, in its comment: PostgreSQL prints it in another form
    rights: frozenset[str]


def _read_state(connection: BaseDatabaseWrapper) -> dict[str, _State]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
                   ARRAY(SELECT ARRAY[p.polname::text, coalesce(pg_get_expr(p.polqual, c.oid), ''),
                                      coalesce(pg_get_expr(p.polwithcheck, c.oid), '')]
                         FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname <> %s),
                   (SELECT coalesce(obj_description(p.oid, 'pg_policy'), 'unknown')
                    FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = %s),
                   ARRAY(SELECT a.privilege_type FROM aclexplode(c.relacl) a WHERE a.grantee = %s::regrole)
            FROM pg_class c
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            """,
            [PARENTS_POLICY, PARENTS_POLICY, WEB_ROLE],
        )
        return {
            name: _State(is_enabled, is_forced, frozenset(map(tuple, policies)), parents, frozenset(rights))
            for name, is_enabled, is_forced, policies, parents, rights in cursor.fetchall()
        }


def _differences(
    connection: BaseDatabaseWrapper, table: str, access: Access | None, found: _State
) -> list[str]:
    """Returns the statements that give `table` this `access`: first the policy, then the grants."""
    name = connection.ops.quote_name(table)
    statements = []
    if isinstance(access, Walled):
        stored = access.stored_expression
        if not (found.is_enabled and found.is_forced):
            statements.append(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        if found.policies != {(POLICY, stored, stored)}:
            statements += [
                f"DROP POLICY IF EXISTS {POLICY} ON {name}",
                f"CREATE POLICY {POLICY} ON {name} TO {WEB_ROLE} "
                f"USING ({access.expression}) WITH CHECK ({access.expression})",
            ]
    elif found.is_enabled:
        statements += [
            f"DROP POLICY IF EXISTS {POLICY} ON {name}",
            f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY",
        ]
    wanted = access.rights if access else frozenset()
    if surplus := sorted(found.rights - wanted):
        statements.append(f"REVOKE {', '.join(surplus)} ON {name} FROM {WEB_ROLE}")
    if missing := sorted(wanted - found.rights):
        statements.append(f"GRANT {', '.join(missing)} ON {name} TO {WEB_ROLE}")
    return statements


def _parents_differences(
    connection: BaseDatabaseWrapper, table: str, expression: str, found: _State
) -> list[str]:
    """Returns the statements that make the foreign-key policy `expression`."""
    if (found.parents or "") == expression:
        return []
    name = connection.ops.quote_name(table)
    statements = [f"DROP POLICY IF EXISTS {PARENTS_POLICY} ON {name}"]
    if expression:
        statements += [
            f"CREATE POLICY {PARENTS_POLICY} ON {name} AS RESTRICTIVE TO {WEB_ROLE} "
            f"USING (true) WITH CHECK ({expression})",
            f"COMMENT ON POLICY {PARENTS_POLICY} ON {name} IS '{expression}'",
        ]
    return statements
