from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import ConfigError
from workers.config import load
from workers.database_url import read_url


def test_relative_files_start_from_the_configuration(tmp_path: Path) -> None:
    assert read_url("sqlite:///var/x.db", tmp_path) == f"sqlite:///{tmp_path}/var/x.db"
    assert read_url("sqlite:////abs/x.db", tmp_path) == "sqlite:////abs/x.db"
    assert read_url("mysql://u:p@h/db", tmp_path) == "mysql+mysqldb://u:p@h/db"
    assert read_url("mariadb://u@h/db", tmp_path) == "mysql+mysqldb://u@h/db"


def test_a_url_may_be_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("mysql://u:p@h/db\n")
    assert read_url("file:secret", tmp_path) == "mysql+mysqldb://u:p@h/db"
    monkeypatch.setenv("SIPHERD_DB", "mysql://u:q@h/db")
    assert read_url("env:SIPHERD_DB", tmp_path) == "mysql+mysqldb://u:q@h/db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://u:s3cret@h/db",
        "mysql://u:s3cret@h",
        "mysql://",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "file:no/such/s3cret-file",
        "env:NO_SUCH_VARIABLE",
    ],
)
def test_a_mistake_is_a_sentence_without_the_secret(tmp_path: Path, url: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(f'[storage]\nurls = ["{url}"]\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    for mistake in caught.value.mistakes:
        assert "[storage] urls" in mistake
        assert "s3cret@" not in mistake


def test_sql_only_cannot_be_parallel(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[storage]\nmode = "sql-only"\npolicy = "parallel"\n')
    with pytest.raises(ConfigError, match="sql-only keeps nothing"):
        load(file)
