"""What the embedded servers remember between starts: passwords are kept, and a copied directory gets its own ports."""

import shutil
import stat
from pathlib import Path

from superagent.local.embedded.state import DataDir, State


def test_what_is_written_is_read_again_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    assert data_dir.read() is None
    state = State(path=str(data_dir.path))
    data_dir.write(state)
    assert data_dir.read() == state
    assert stat.S_IMODE((data_dir.path / "services.json").stat().st_mode) == 0o600


def test_a_copy_of_the_directory_does_not_find_the_servers_of_the_original(tmp_path: Path) -> None:
    original = DataDir(tmp_path / "original")
    original.path.mkdir()
    state = State(path=str(original.path))
    original.write(state)
    shutil.copytree(original.path, tmp_path / "copy")
    copied = DataDir(tmp_path / "copy").read()
    assert copied is not None and copied.path == str(tmp_path / "copy")
    assert copied.redis_password != state.redis_password
    assert copied.owner_password == state.owner_password, "the copied cluster has the same roles"


def test_addresses_name_the_role_that_logs_in(tmp_path: Path) -> None:
    state = State(path=str(tmp_path))
    services = state.services()
    assert services.database_url.startswith(f"postgres://app_web:{state.web_password}@")
    assert services.database_owner_url.startswith(f"postgres://app_owner:{state.owner_password}@")
    assert services.redis_url.startswith(f"redis://:{state.redis_password}@")
