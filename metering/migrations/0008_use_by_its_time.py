from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0007_segments_shipped_before")]

    operations = [
        migrations.AlterModelOptions(name="formerterms", options={"ordering": ["replaced_at", "id"]}),
        migrations.AlterField(
            model_name="formerterms",
            name="used_until",
            field=models.BigIntegerField(
                help_text="Of the period, under earlier terms too.", verbose_name="used until then"
            ),
        ),
        migrations.AddField(
            model_name="quota",
            name="has_unrated_use",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="The next period rates it.",
                verbose_name="late use to rate",
            ),
        ),
    ]
