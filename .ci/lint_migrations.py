"""Would our migrations be safe while the old code still runs? Needs a database, so it starts one of its own.

accepted_migrations.txt names those that a person looked at and found safe all the same, most of them because their
tables were empty when they ran. `python .ci/lint_migrations.py --accept` adds those that fail now.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "superagent.settings"
os.environ["LOG_LEVEL"] = "ERROR"
ACCEPTED = Path(__file__).with_name("accepted_migrations.txt")
OURS = ["foundation", "accounts", "metering", "billing", "licensing"]


def lint() -> int:
    import django

    django.setup()

    from django_migration_linter import MessageType, MigrationLinter

    accepted = set(ACCEPTED.read_text().split())
    linter = MigrationLinter(
        path=str(ROOT),
        include_apps=OURS,
        analyser_string="postgresql",
        no_cache=True,
        quiet=[MessageType.OK.value, MessageType.IGNORE.value],
        ignore_name=[name.partition(".")[2] for name in accepted],
    )
    with contextlib.redirect_stdout(io.StringIO()) as output:
        linter.lint_all_migrations()
    print(output.getvalue().strip())
    failed = {f"{app}.{name}" for app, name in re.findall(r"\((\w+), (\w+)\)\.\.\. ERR", output.getvalue())}
    if "--accept" in sys.argv:
        ACCEPTED.write_text("\n".join(sorted(accepted | failed)) + "\n")
        print(f"accepted: {', '.join(sorted(failed)) or 'none'}")
        return 0
    return 1 if failed else 0


def main() -> int:
    from superagent.local import embedded

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
