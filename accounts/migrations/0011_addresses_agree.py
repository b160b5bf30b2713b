from django.db import migrations, models

# User.email and allauth's address of the same person never differ: a transaction that leaves them apart fails.
AGREE = """
ALTER TABLE account_emailaddress ADD CONSTRAINT account_emailaddress_is_the_users
FOREIGN KEY (user_id, email) REFERENCES accounts_user (id, email) DEFERRABLE INITIALLY DEFERRED
"""
DISAGREE = "ALTER TABLE account_emailaddress DROP CONSTRAINT account_emailaddress_is_the_users"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_one_address_each")]

    operations = [
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("email", ""), _negated=True), name="user_email_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(fields=("id", "email"), name="user_id_and_email"),
        ),
        migrations.RunSQL(AGREE, DISAGREE),
    ]
