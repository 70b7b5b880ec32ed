"""Archives are read in place, as the folders that they were made from; hostile and broken ones are refused by name."""

import io
import os
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.made_trees import FILES, KINDS, SPLIT_FILES, check_error, check_pictures, content, pack, write

from fovea.data import open_source
from fovea.data.archives import TarTree, ZipTree
from fovea.errors import DataError, UnreadableImage
from fovea.types import Item


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("files", [FILES, SPLIT_FILES], ids=["classes", "splits"])
@pytest.mark.parametrize("under", ["", "photos/", "./photos/"])
def test_an_archive_is_read_in_place(tmp_path: Path, kind: str, files: tuple[str, ...], under: str) -> None:
    folder = write(tmp_path / "folder", *files)
    with open_source(pack(folder, kind, tmp_path, under=under)) as source, open_source(folder) as oracle:
        assert (source.items, source.class_names, source.name) == (oracle.items, oracle.class_names, oracle.name)
        check_pictures(source)
        assert set(os.listdir(tmp_path)) == {"folder", f"data.{kind}"}
    tree = (ZipTree if kind == "zip" else TarTree)(tmp_path / f"data.{kind}")
    assert [tree.size(path) for path in tree.paths] == [len(content(path)) for path in files]
    tree.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_may_hold_a_table(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / "folder", "pictures/1.jpg", "pictures/2.jpg", "pictures/3.jpg", "pictures/4.jpg")
    rows = "\n".join(f"{mark}pictures/{n}.jpg,{'ab'[n % 2]}" for n, mark in zip((1, 2, 3, 4), ("", "./", "", ""), strict=True))
    (folder / "labels.csv").write_text("path,label\n" + rows)
    (folder / "sizes.csv").write_text("file,size\n")
    with open_source(pack(folder, kind, tmp_path, under="wrapped/")) as source:
        assert source.name == "csv_table"
        assert [item.label for item in source.items] == ["b", "a", "b", "a"]
        check_pictures(source)


def test_an_archive_of_one_class_is_not_unwrapped(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "x", "cat/1.jpg", "cat/2.jpg"), "zip", tmp_path)
    with pytest.raises(DataError) as caught:
        open_source(archive)
    check_error(caught.value, "one class only", "'cat'", str(archive))


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name", ["../cat/9.jpg", "cat/../../9.jpg", "/cat/9.jpg", "C:\\cat\\9.jpg", "cat\\..\\..\\9.jpg", "..", "C:/9.jpg"]
)
def test_a_member_that_points_elsewhere_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    archive = pack(write(tmp_path / "x", *FILES), kind, tmp_path)
    add_member(archive, name, b"x")
    with pytest.raises(DataError) as caught:
        open_source(archive)
    check_error(caught.value, str(archive), "member")
    assert name.replace("\\", "/") in str(caught.value).split("\n")[0].replace("\\\\", "/").replace("\\", "/")


def add_member(archive: Path, name: str, data: bytes) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "a") as packed:
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = name, 3
            packed.writestr(info, data)
    else:
        with tarfile.open(archive, "a") as packed:
            info_tar = tarfile.TarInfo(name)
            info_tar.size = len(data)
            packed.addfile(info_tar, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["symbolic", "hard", "zip", "device", "pipe"])
def test_a_link_in_an_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive = pack(write(tmp_path / "x", *FILES), "zip" if kind == "zip" else "tar", tmp_path)
    if kind == "zip":
        with zipfile.ZipFile(archive, "a") as packed:
            info = zipfile.ZipInfo("cat/link.jpg")
            info.external_attr = 0o120777 << 16
            packed.writestr(info, "1.jpg")
    else:
        with tarfile.open(archive, "a") as packed_tar:
            member = tarfile.TarInfo("cat/link.jpg")
            member.type = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}[kind]
            member.linkname = "cat/1.jpg" if kind in ("symbolic", "hard") else ""
            packed_tar.addfile(member)
    with pytest.raises(DataError) as caught:
        open_source(archive)
    check_error(caught.value, "'cat/link.jpg'", str(archive))


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "x", *FILES), "zip", tmp_path)
    data = bytearray(archive.read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(start) + flags] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError) as caught:
        open_source(archive)
    check_error(caught.value, "is encrypted", str(archive), "cat/1.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_or_false_archive_is_named(tmp_path: Path, kind: str) -> None:
    whole = pack(write(tmp_path / "x", *FILES), kind, tmp_path).read_bytes()
    for data in (b"", b"no archive at all", whole[: len(whole) // 2], whole[:100]):
        broken = tmp_path / f"broken.{kind}"
        broken.write_bytes(data)
        with pytest.raises(DataError) as caught:
            open_source(broken)
        check_error(caught.value, str(broken))
    assert sorted(os.listdir(tmp_path)) == [f"broken.{kind}", f"data.{kind}", "x"]


def test_a_broken_member_is_named_when_it_is_read(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        archive = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(archive, "w", method) as packed:
            for path in FILES:
                packed.writestr(path, content(path) * 3)
        data = bytearray(archive.read_bytes())
        at = data.index(b"dog/1.jpg") + 9 + 60
        data[at] ^= 0xFF
        archive.write_bytes(data)
        with open_source(archive) as source:
            assert source.read(source.items[0]) == content("cat/1.jpg") * 3
            with pytest.raises(UnreadableImage) as caught:
                source.read(Item("dog/1.jpg"))
            check_error(caught.value, "'dog/1.jpg'", str(archive))
            with pytest.raises(UnreadableImage, match="does not exist"):
                source.read(Item("dog/7.jpg"))


def test_a_zip_that_states_less_than_it_holds_gives_no_more_than_stated(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in FILES:
            packed.writestr(path, bytes(10_000_000) if path == "dog/1.jpg" else content(path))
    data = archive.read_bytes().replace((10_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    archive.write_bytes(data)
    with open_source(archive) as source, pytest.raises(UnreadableImage, match="is broken within"):
        source.read(Item("dog/1.jpg"))


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "tar.bz2"])
def test_a_bomb_is_stopped(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.data.archives.MIN_UNPACKED_BYTES", 2_000_000)
    folder = write(tmp_path / "x", *FILES)
    (folder / "cat" / "bomb.bmp").write_bytes(bytes(4_000_000))
    with pytest.raises(DataError) as caught:
        open_source(pack(folder, kind, tmp_path))
    check_error(caught.value, "unpacks to far more", f"data.{kind}")


def test_too_large_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "x", *FILES)
    archives = [pack(folder, kind, tmp_path) for kind in ("zip", "tar")]
    for module in ("trees", "archives"):
        monkeypatch.setattr(f"fovea.data.{module}.MAX_FILE_BYTES", 10)
    for place in (folder, *archives):
        with open_source(place) as source, pytest.raises(UnreadableImage, match="too large"):
            source.read(source.items[0])


def test_a_zip_made_on_windows_with_its_own_separators(tmp_path: Path) -> None:
    archive = tmp_path / "windows.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in FILES:
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = path.replace("/", "\\"), 0
            packed.writestr(info, content(path))
    with open_source(archive) as source:
        assert [item.path for item in source.items] == list(FILES)
        check_pictures(source)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_many_threads_read_the_right_bytes(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / "x", *(f"{label}/{n}.jpg" for label in "ab" for n in range(50)))
    with open_source(folder if kind == "folder" else pack(folder, kind, tmp_path)) as source, ThreadPoolExecutor(8) as pool:
        items = list(source.items) * 5
        assert list(pool.map(source.read, items)) == [content(item.path) for item in items]
    assert threading.active_count() == 1
