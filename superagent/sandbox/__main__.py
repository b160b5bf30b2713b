"""`python -m superagent.sandbox --port N --data-dir DIR`"""

import argparse
from pathlib import Path

import uvicorn

from superagent.sandbox.settings import settings


def main() -> None:
    """Read the command line and serve on loopback."""
    parser = argparse.ArgumentParser(prog="python -m superagent.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=settings.port)
    parser.add_argument("--data-dir", type=Path, default=settings.data_dir)
    chosen = parser.parse_args()
    settings.port, settings.data_dir = chosen.port, chosen.data_dir
    from superagent.sandbox.app import app  # after the settings, which it reads

    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
