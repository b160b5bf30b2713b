from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0018_scope_of_organizations_names_no_members"),
    ]

    operations = [
        migrations.AlterField(
            model_name="securityevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("log_in_failed", "Wrong password"),
                    ("code_failed", "Wrong code in the second step"),
                    ("passkey_failed", "Wrong passkey"),
                    ("reset_requested", "Password reset requested"),
                    ("reset_refused", "Password reset requested for an unknown address"),
                    ("limit_reached", "Too many attempts"),
                    ("access_refused", "Access denied"),
                ],
                max_length=20,
            ),
        ),
    ]
