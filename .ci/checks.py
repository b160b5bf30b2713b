"""`make check`: run every check, two at a time, and print the output of those that fail.

Arguments name the checks to run; without any, all run: python .ci/checks.py types templates
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON = sys.executable
CHECKS: dict[str, list[str]] = {
    # the longest first, so that the others run beside it
    "types": [PYTHON, "-m", "mypy"],
    "migrations": [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"],
    "safe migrations": [PYTHON, ".ci/lint_migrations.py"],
    "system": [PYTHON, "manage.py", "check", "--fail-level", "WARNING"],
    "structure": [PYTHON, ".ci/structure.py"],
    "dead code": [PYTHON, ".ci/dead_code.py"],
    "floors": [str(BIN / "lint-imports"), "--no-logo"],
    "templates": [str(BIN / "djlint"), "templates", "--lint", "--quiet"],
    "css": [PYTHON, ".ci/css.py"],
    "style": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
}
# Checks need settings, not servers: these addresses are never connected to.
ENVIRONMENT = {
    **os.environ,
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "DEBUG": "false",
    "LOCAL": "true",
    "PYTHONWARNINGS": "ignore:Got an error checking a consistent migration history:RuntimeWarning",
}


def run(name: str) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        CHECKS[name], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600
    )
    seconds = time.monotonic() - started
    output = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        advice = "\n".join(line for line in output.splitlines() if "(advice)" in line)
        print(f"ok      {name} ({seconds:.0f} s)" + (f"\n{advice}" if advice else ""), flush=True)
        return True
    print(f"FAILED  {name} ({seconds:.0f} s)\n{output}\n", flush=True)
    return False


def main() -> int:
    names = sys.argv[1:] or list(CHECKS)
    if unknown := set(names) - set(CHECKS):
        print(f"no such check: {', '.join(sorted(unknown))}. There are: {', '.join(CHECKS)}")
        return 2
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(names, pool.map(run, names), strict=True))
    failed = [name for name, is_good in results.items() if not is_good]
    print(f"check: {', '.join(failed)} failed" if failed else "check: all good")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
