from django.db import migrations

# What earlier versions could leave behind: an empty address, and allauth's rows that differ from User.email (a change
# that waits, a change that was half made, staff's change of one of the two). User.email is what one logs in with.
FILL_EMPTY = """
UPDATE accounts_user u
SET email = coalesce(
    (SELECT a.email FROM account_emailaddress a
     WHERE a.user_id = u.id AND a.email <> ''
       AND NOT EXISTS (SELECT 1 FROM accounts_user o WHERE o.email = a.email)
     ORDER BY a.verified DESC, a."primary" DESC, a.id DESC LIMIT 1),
    u.id || '@closed.invalid')
WHERE u.email = ''
"""
FORGET_OTHERS = """
DELETE FROM account_emailaddress a USING accounts_user u WHERE a.user_id = u.id AND a.email <> u.email
"""
MAKE_PRIMARY = """
UPDATE account_emailaddress SET "primary" = true WHERE NOT "primary"
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_email_changes"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [
        migrations.RunSQL(statement, migrations.RunSQL.noop)
        for statement in (FILL_EMPTY, FORGET_OTHERS, MAKE_PRIMARY)
    ]
