"""Nobody becomes staff but by accounts.rights_guard, and never as the web role. Safe to run again."""

from django.db import migrations

FORWARDS = """
CREATE OR REPLACE FUNCTION accounts_guard_staff_rights() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'app_web' OR current_setting('app.staff_rights', true) IS DISTINCT FROM 'written' THEN
        RAISE EXCEPTION 'staff rights are not written here' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER staff_are_not_made BEFORE INSERT ON accounts_user
    FOR EACH ROW WHEN (NEW.is_staff OR NEW.is_superuser) EXECUTE FUNCTION accounts_guard_staff_rights();
CREATE OR REPLACE TRIGGER staff_rights_are_not_changed BEFORE UPDATE ON accounts_user
    FOR EACH ROW WHEN (OLD.is_staff IS DISTINCT FROM NEW.is_staff OR OLD.is_superuser IS DISTINCT FROM NEW.is_superuser)
    EXECUTE FUNCTION accounts_guard_staff_rights();
"""

BACKWARDS = """
DROP TRIGGER IF EXISTS staff_are_not_made ON accounts_user;
DROP TRIGGER IF EXISTS staff_rights_are_not_changed ON accounts_user;
DROP FUNCTION IF EXISTS accounts_guard_staff_rights();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_account_closures")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
