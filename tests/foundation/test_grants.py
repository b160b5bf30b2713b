"""What app_web may do to each table, written down: a table that is new or opens further is noticed here."""

import pytest
from django.db import ProgrammingError, connection, transaction

from superagent.foundation import row_security, tenancy
from tests.fixtures.tenants import make_pair

pytestmark = pytest.mark.django_db

ALL, FACTS, READ, NONE = "DISU", "IS", "S", ""
GRANTS = {
    ALL: (
        "account_emailaddress", "account_emailconfirmation", "accounts_accountclosure", "accounts_apikey",
        "accounts_emailchange", "accounts_invitation", "accounts_membership", "accounts_organization",
        "accounts_tokenfamily", "accounts_user", "billing_billingaccount", "billing_checkoutsession",
        "billing_order", "billing_orderitem", "billing_subscription", "django_session",
        "foundation_idempotencyrecord", "foundation_outboxmessage", "licensing_activation",
        "licensing_featureusage", "licensing_license", "licensing_licensefeature", "metering_allotment",
        "metering_allowance", "metering_formerterms", "metering_hourlylevel",
        "metering_quota", "metering_quotaalert", "metering_requestrollup",
        "metering_usageperiod", "metering_usagerollup", "mfa_authenticator", "socialaccount_socialaccount",
        "socialaccount_socialtoken", "usersessions_usersession",
    ),
    FACTS: (
        "accounts_auditentry", "metering_eventvoid", "metering_ratedline", "metering_usageevent",
    ),
    READ: (
        "billing_invoice", "billing_invoiceline", "billing_overagecharge", "billing_payment", "billing_plan",
        "billing_planallowance", "billing_price", "billing_product", "billing_refund", "django_content_type",
        "licensing_policy", "licensing_policyfeature", "metering_meter", "metering_requestrecord",
        "socialaccount_socialapp",
    ),
    NONE: (
        "accounts_securityevent", "accounts_user_groups", "accounts_user_user_permissions", "auth_group",
        "auth_group_permissions", "auth_permission", "billing_objectfence", "billing_webhookendpoint",
        "billing_webhookevent", "billing_webhooklease", "django_admin_log",
        "django_celery_beat_clockedschedule", "django_celery_beat_crontabschedule",
        "django_celery_beat_intervalschedule", "django_celery_beat_periodictask",
        "django_celery_beat_periodictasks", "django_celery_beat_solarschedule", "metering_quarantinedline",
        "metering_spoolcheckpoint",
    ),
}  # fmt: skip


def granted() -> dict[str, str]:
    """Table → the first letters of what app_web may do to it; partitions have no rights of their own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relispartition, ARRAY(SELECT left(p, 1) FROM unnest(ARRAY['SELECT','INSERT','UPDATE',"
            "'DELETE','TRUNCATE','REFERENCES','TRIGGER']) p WHERE has_table_privilege('app_web', c.oid, p))"
            " FROM pg_class c"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
        rows = cursor.fetchall()
    assert {name for name, is_partition, rights in rows if is_partition and rights} == set()
    return {name: "".join(sorted(rights)) for name, is_partition, rights in rows if not is_partition}


def test_every_table_is_granted_as_written_here() -> None:
    written = {table: rights for rights, tables in GRANTS.items() for table in tables}
    found = {table: rights for table, rights in granted().items() if not table.startswith("djstripe")}
    others = set(found) - set(row_security.tables())
    assert {found.pop(table) for table in others} <= {NONE}, others  # Django's own record of migrations
    assert found == written


def test_stripes_objects_are_out_of_reach() -> None:
    assert {rights for table, rights in granted().items() if table.startswith("djstripe")} == {NONE}


@pytest.mark.parametrize("table", [*GRANTS[FACTS], *GRANTS[READ]])
def test_what_is_a_fact_stays_as_it_was_written(table: str) -> None:
    """L9: the tenant's own usage events, rated lines and invoices could be changed and deleted."""
    pair = make_pair()
    with tenancy.tenant(pair.a), connection.cursor() as cursor:
        for statement in (
            f"UPDATE {table} SET id = id",
            f"DELETE FROM {table}",
            f"SELECT * FROM {table} FOR UPDATE",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                cursor.execute(statement)
