"""The command line: `python -m superagent.local.embedded start|stop|urls [DATA_DIR]`."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from superagent.local import embedded


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    data_dir = Path(arguments[1] if len(arguments) > 1 else os.environ.get("DATA_DIR", ".data"))
    if command == "stop":
        embedded.stop(data_dir)
    elif command in ("start", "urls"):
        for name, url in asdict(embedded.start(data_dir)).items():
            sys.stdout.write(f"{name.upper()}={url}\n")
    else:
        sys.stderr.write(__doc__ + "\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
