"""Format the style sheets: `python .ci/css.py` names those that are not formatted, `--write` formats them.

cssbeautifier comes with djlint; docs/decisions/0001-libraries.md says why it is the formatter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cssbeautifier

ROOT = Path(__file__).resolve().parent.parent
SHEETS = sorted((ROOT / "static" / "css").glob("*.css"))


def formatted(text: str) -> str:
    """One declaration a line, one selector a line, two spaces a level."""
    options = cssbeautifier.default_options()
    options.indent_size = 2
    options.end_with_newline = True
    options.newline_between_rules = False
    result: str = cssbeautifier.beautify(text, options)
    return result


def main() -> int:
    is_writing = sys.argv[1:] == ["--write"]
    changed = [sheet for sheet in SHEETS if sheet.read_text() != formatted(sheet.read_text())]
    for sheet in changed:
        if is_writing:
            sheet.write_text(formatted(sheet.read_text()))
        else:
            print(f"{sheet.relative_to(ROOT)}: not formatted: make format")
    return 1 if changed and not is_writing else 0


if __name__ == "__main__":
    sys.exit(main())
