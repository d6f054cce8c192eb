from __future__ import annotations

from pathlib import Path

import pytest

from scripts.configuration import ConfigurationError
from scripts.service.token import load_token


def test_a_token_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "api-token"
    token = load_token(path)
    text = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(text)) == 32
    assert token.admits(f"Bearer {text}")
    assert load_token(path).admits(f"Bearer {text}")
    other = tmp_path / "other"
    load_token(other)
    assert other.read_text() != path.read_text()


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "api-token"
    load_token(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        load_token(path)


@pytest.mark.parametrize("text", ["", "short", "AB" * 32, "zz" * 32])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "api-token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="hexadecimal digits"):
        load_token(path)
