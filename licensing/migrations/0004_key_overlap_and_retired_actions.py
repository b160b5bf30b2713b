from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("licensing", "0003_limited_means_required")]

    operations = [
        migrations.AddField(
            model_name="license",
            name="previous_key_hash",
            field=models.BinaryField(max_length=32, null=True, unique=True),
        ),
        migrations.AddField(
            model_name="license",
            name="previous_key_works_until",
            field=models.DateTimeField(
                editable=False, help_text="Until then, the replaced key works, too.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="licensefeature",
            name="action",
            field=models.CharField(
                help_text="Empty: the tier no longer includes it.",
                max_length=50,
                null=True,
                verbose_name="action",
            ),
        ),
    ]
