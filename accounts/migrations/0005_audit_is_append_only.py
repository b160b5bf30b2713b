"""The audit trail is append-only for every role: triggers refuse UPDATE, DELETE and TRUNCATE. Safe to run again."""

from django.db import migrations

FORWARDS = """
CREATE OR REPLACE FUNCTION accounts_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE OR REPLACE TRIGGER audit_entry_is_append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_audit_refuse();
CREATE OR REPLACE TRIGGER audit_trail_is_not_emptied BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_refuse();
"""

BACKWARDS = """
DROP TRIGGER IF EXISTS audit_entry_is_append_only ON accounts_auditentry;
DROP TRIGGER IF EXISTS audit_trail_is_not_emptied ON accounts_auditentry;
DROP FUNCTION IF EXISTS accounts_audit_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_audit_trail")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
