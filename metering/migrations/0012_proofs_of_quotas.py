from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0011_allotments"),
    ]

    operations = [
        migrations.AddField(
            model_name="quota",
            name="difference",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text=(
                    "By how much the facts exceed what is counted, as the last proof of a closed period found it."
                ),
                verbose_name="difference",
            ),
        ),
    ]
