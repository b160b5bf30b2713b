"""Secrets come from the environment; a development copy makes its own once."""

from licensing import checks, secret_files


def test_production_without_secrets_is_told(settings) -> None:
    settings.IS_SECURE, settings.LICENSE_ENCRYPTION_KEY, settings.LICENSE_SIGNING_KEY = (
        True,
        "",
        "bm90IDMyIGJ5dGVz",
    )
    assert [(error.id, error.msg.split(";")[0]) for error in checks.check_license_secrets()] == [
        ("licensing.E001", "Set LICENSE_ENCRYPTION_KEY"),
        ("licensing.E002", "LICENSE_SIGNING_KEY must be the base64 of 32 bytes."),
    ]


def test_a_secret_is_made_once_by_whoever_comes_first(settings, tmp_path) -> None:
    settings.DATA_DIR = tmp_path
    made = iter(["first", "second"])
    assert secret_files.secrets_of("SOME_KEY", "", lambda: next(made)) == ["first"]
    assert secret_files.secrets_of("SOME_KEY", "", lambda: next(made)) == ["first"]
    file = tmp_path / "secrets" / "some_key"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("first", 0o600)
    secret_files._kept.cache_clear()
    assert secret_files.secrets_of("SOME_KEY", "", lambda: next(made)) == ["first"]
    assert secret_files.secrets_of("SOME_KEY", " a, b ,", lambda: "unused") == ["a", "b"]
