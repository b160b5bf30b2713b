"""Would our migrations be safe while the old code still runs? Needs a database, so it starts one of its own."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "superagent.settings"
os.environ["LOG_LEVEL"] = "ERROR"
OURS = ["foundation", "accounts", "metering", "billing", "licensing"]


def lint() -> int:
    import django

    django.setup()

    from django_migration_linter import MessageType, MigrationLinter

    linter = MigrationLinter(
        path=str(ROOT),
        include_apps=OURS,
        analyser_string="postgresql",
        no_cache=True,
        quiet=[MessageType.OK.value, MessageType.IGNORE.value],
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return 1 if linter.has_errors else 0


def main() -> int:
    from superagent import embedded

    data_dir = Path(os.environ.get("DATA_DIR", ROOT / ".data")).resolve() / "checks"
    services = embedded.start(data_dir, durable=False)
    os.environ["DATABASE_URL"] = os.environ["DATABASE_OWNER_URL"] = services.database_owner_url
    os.environ["REDIS_URL"] = services.redis_url
    try:
        return lint()
    finally:
        embedded.stop(data_dir)


if __name__ == "__main__":
    sys.exit(main())
