import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("licensing", "0001_policies_and_licenses")]

    operations = [
        migrations.AddField(
            model_name="policy",
            name="requires_activation",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Validation fails on servers that are not activated.",
                verbose_name="requires activation",
            ),
        ),
        migrations.AddField(
            model_name="license",
            name="requires_activation",
            field=models.BooleanField(db_default=False, default=False, verbose_name="requires activation"),
        ),
        migrations.AlterField(
            model_name="policy",
            name="max_activations",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Maximum number of activated servers, up to 1,000. Empty: 100.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
                verbose_name="activations",
            ),
        ),
    ]
