from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0009_declined_cards"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhooklane",
            name="leased_by",
            field=models.UUIDField(
                help_text="Which run of a worker: only it renews or releases the lease.", null=True
            ),
        ),
    ]
