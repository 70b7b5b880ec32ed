"""What may be written where, and what is said where it may not."""

import errno
from pathlib import Path

import pytest

from fovea.errors import OutputError, from_os_error
from fovea.files import check_new_file, check_outside, ready_folder


def test_nothing_is_written_into_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    for inside in (photos, photos / "run", photos / "a" / ".." / "run", tmp_path / "link" / "run"):
        with pytest.raises(OutputError, match="lies within the data"):
            check_outside(inside, photos)
    for data in (photos, tmp_path / "photos.zip", "digits"):
        check_outside(tmp_path / "run", data)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(OutputError, match="lies within the data"):
        check_outside(photos / "run", "~/photos")


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="exists already"):
        check_new_file(tmp_path / "link", overwrite=False)
    assert check_new_file(tmp_path / "new", overwrite=False) == tmp_path / "new"


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOENT, errno.ENOSPC])
def test_no_option_moves_the_cache(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CACHE", str(tmp_path / "cache"))
    for path, named in ((tmp_path / "cache" / "pixels", "FOVEA_CACHE"), (tmp_path / "run", "--out")):
        fix = from_os_error(OSError(code, "no"), path).fix
        assert [name for name in ("FOVEA_CACHE", "--out") if name in fix] == [named]


def test_a_cache_that_cannot_be_made_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FOVEA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError) as caught:
        ready_folder(tmp_path / "file" / "cache" / "pixels")
    assert "FOVEA_CACHE" in caught.value.fix
