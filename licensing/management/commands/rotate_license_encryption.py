from django.core.management.base import BaseCommand, CommandError

from licensing import issued_keys, vault
from superagent.foundation import tenancy


class Command(BaseCommand):
    help = (
        "Re-encrypts every license key with the first key of LICENSE_ENCRYPTION_KEY. To rotate: put a new key first, "
        "deploy, run this command, then remove the old key. Idempotent."
    )

    def handle(self, *args, **options):
        with tenancy.system("rotate the encryption of license keys"):
            try:
                count = issued_keys.reencrypt_all()
            except vault.DecryptionFailed as error:
                raise CommandError(f"{error} Put it back and run this command again.") from error
        self.stdout.write(f"{count} license keys are encrypted with the newest key")
