"""Sources against trees that the tests write themselves: the right pictures, labels and splits, or an error that names the file."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.bad_files import Colour, make_bad_folder, save

from fovea.data import Source, check_classes, decode, open_source
from fovea.data.archives import TarTree, ZipTree
from fovea.data.source import SOURCES
from fovea.data.trees import FolderTree, list_pictures
from fovea.errors import DataError, FoveaError, InputError, UnreadableImage
from fovea.types import Item

FILES = ("cat/1.jpg", "cat/deep/er/2.PNG", "dog/1.jpg", "dog/2.jpeg")
SPLIT_FILES = tuple(f"{split}/{label}/{n}.jpg" for split in ("train", "val", "test") for label in ("cat", "dog") for n in (1, 2))


def colour_of(path: str) -> Colour:
    red, green, blue = np.random.default_rng(list(os.fsencode(path))).integers(0, 256, 3).tolist()
    return red, green, blue


def content(path: str) -> bytes:
    """A picture whose colour says which file it is."""
    from PIL import Image

    return save(Image.new("RGB", (4, 4), colour_of(path)), "PNG")


def write(folder: Path, *paths: str, **texts: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content(path))
    return folder


def check_pictures(source: Source, under: str = "") -> None:
    """Every item is the file that it says it is."""
    assert [item.path for item in source.items] == sorted(item.path for item in source.items)
    for item in source.items:
        assert tuple(decode(source.read(item), path=item.path).pixels[0, 0]) == colour_of(under + item.path), item


def check_error(error: FoveaError, *says: str) -> None:
    first, *rest = str(error).split("\n")
    assert [part for part in says if part not in first] == []
    assert [line.split(":")[0].strip() for line in rest] == ["got", "expected", "fix"]
    assert all(part.strip() for part in error.to_json().values())
    assert error.exit_code == 2


def pack(folder: Path, kind: str, to: Path, *, under: str = "") -> Path:
    """The folder as an archive, its files below `under`."""
    archive = to / f"data.{kind}"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in files:
                packed.write(path, under + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, f"w:{kind.partition('.')[2]}") as packed:  # type: ignore[call-overload]
            for path in files:
                packed.add(path, under + path.relative_to(folder).as_posix())
    return archive


KINDS = ("zip", "tar", "tar.gz", "tar.xz", "tar.bz2")


# --- folders


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write(tmp_path, *FILES)
    with open_source(str(tmp_path)) as source:
        assert (source.name, source.location) == ("class_folders", str(tmp_path))
        assert [(item.path, item.label, item.split, item.group) for item in source.items] == [(p, p[:3], None, None) for p in FILES]
        assert source.class_names == ("cat", "dog")
        assert list(source.ignored) == []
        assert source.targets(source.items[0]).boxes.shape == (0, 4)
        check_pictures(source)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "VAL", None])
@pytest.mark.parametrize("test", ["test", "Test", None])
def test_a_folder_with_splits(tmp_path: Path, validation: str | None, test: str | None) -> None:
    folders = {"train": "train"} | ({validation: "validation"} if validation else {}) | ({test: "test"} if test else {})
    write(tmp_path, *(f"{folder}/{label}/{n}.jpg" for folder in folders for label in ("a", "b") for n in range(2)))
    if len(folders) == 1:
        with pytest.raises(DataError, match="one class only"):
            open_source(tmp_path)
        return
    source = open_source(tmp_path)
    assert source.name == "split_folders"
    assert {(item.path.split("/")[0], item.split) for item in source.items} == set(folders.items())
    assert source.class_names == ("a", "b")
    check_pictures(source)


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "train/1.jpg", "train/2.jpg", "bus/1.jpg", "bus/2.jpg"))
    assert source.class_names == ("bus", "train")


def test_what_is_no_picture_is_ignored(tmp_path: Path) -> None:
    write(
        tmp_path, *FILES, "loose.jpg", "cat/notes.txt", "readme.md", "cat/.hidden.jpg", ".git/x.jpg", "__MACOSX/cat/1.jpg", "cat/Thumbs.db"
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "no_suffix").write_bytes(content("cat/no_suffix"))
    (tmp_path / "cat" / "LICENSE").write_text("not a picture")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    source = open_source(tmp_path)
    assert [item.path for item in source.items] == ["cat/1.jpg", "cat/deep/er/2.PNG", "cat/no_suffix", "dog/1.jpg", "dog/2.jpeg"]
    assert list(source.ignored) == ["cat/LICENSE", "cat/notes.txt", "empty/", "loose.jpg", "readme.md"]
    check_pictures(source)


@pytest.mark.parametrize(
    "suffix",
    ["jpg", "JPG", "jpeg", "jpe", "jfif", "png", "gif", "bmp", "tif", "TIFF", "webp", "avif", "heic", "HEIF", "ico", "ppm", "pgm"],
)
def test_suffixes_of_pictures(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a/x.{suffix}")
    assert list_pictures(FolderTree(tmp_path)) == ([f"a/x.{suffix}"], [])


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [
        "a b/c d.jpg",
        'a b/it\'s "it".jpg',
        "new\nline/x\ny.jpg",
        "new\nline/🦊.jpg",
        os.fsdecode(b"\xff\xfe/\xe9.jpg"),
        os.fsdecode(b"\xff\xfe/2.jpg"),
    ]
    write(tmp_path, *names)
    for source in (open_source(tmp_path), open_source(pack(tmp_path, "tar", tmp_path))):
        names_there = {item.path for item in source.items}
        assert set(names) <= names_there
        assert len(source.class_names) == 3
        check_pictures(source)


def test_links_are_followed_without_circles(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    write(data, "cat/1.jpg", "cat/2.jpg")
    write(elsewhere, "3.jpg", "sub/4.jpg")
    (data / "dog").symlink_to(elsewhere)
    (data / "cat" / "up").symlink_to(data)
    (elsewhere / "sub" / "self").symlink_to(elsewhere)
    (data / "cat" / "one.jpg").symlink_to(elsewhere / "3.jpg")
    source = open_source(data)
    paths = [item.path for item in source.items]
    assert {"cat/1.jpg", "cat/one.jpg", "dog/3.jpg", "dog/sub/4.jpg"} <= set(paths)
    assert len(paths) < 20
    assert source.read(Item("cat/one.jpg")) == source.read(Item("dog/3.jpg"))


def test_files_that_cannot_be_read_stay_and_are_named(tmp_path: Path) -> None:
    write(tmp_path, *FILES)
    expected = make_bad_folder(tmp_path / "cat")
    (tmp_path / "dog" / "gone.jpg").write_bytes(b"x")
    source = open_source(tmp_path)
    (tmp_path / "dog" / "gone.jpg").unlink()
    (tmp_path / "dog" / "1.jpg").unlink()
    os.mkfifo(tmp_path / "dog" / "1.jpg")
    named = {}
    for item in source.items:
        try:
            source.read(item)
        except UnreadableImage as error:
            check_error(error, repr(item.path))
            named[item.path] = error.problem
    assert "leads nowhere" in named.pop("cat/broken_link.jpg")
    assert "cannot be read" in named.pop("cat/circle.jpg")
    assert "does not exist" in named.pop("dog/gone.jpg")
    assert "is not a file" in named.pop("dog/1.jpg")  # opening a pipe must not wait
    if not expected["no_permission.jpg"].readable:
        assert "may not be read" in named.pop("cat/no_permission.jpg")
    assert named == {}
    with pytest.raises(UnreadableImage, match="cannot be read"):
        source.read(Item("nul\0.jpg"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root must change its user to be refused")
def test_what_an_ordinary_user_may_not_read() -> None:
    folder = Path(tempfile.mkdtemp())
    code = """
import os, sys
from fovea.data import open_source
from fovea.data.source import SOURCES
from fovea.errors import FoveaError
SOURCES.names()  # an ordinary user may be barred from where root's Python lies: everything is imported before
os.setuid(65534)
for path in sys.argv[1:]:
    try:
        source = open_source(path)
        source.read(source.items[0])
    except FoveaError as error:
        print(str(error).splitlines()[0])
"""
    try:
        folder.chmod(0o755)
        write(folder / "file", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
        write(folder / "sub", *FILES)
        write(folder / "top", *FILES)
        (folder / "table.csv").write_text("path,label\n")
        (folder / "file" / "a" / "1.jpg").chmod(0)
        (folder / "sub" / "cat").chmod(0)
        (folder / "top").chmod(0)
        (folder / "table.csv").chmod(0)
        asked = [str(folder / name) for name in ("file", "sub", "top", "table.csv")]
        done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0] == "'a/1.jpg' may not be read"
    assert all(path in line for path, line in zip(["a/1.jpg", "sub/cat", "top", "table.csv"], lines, strict=True))


def test_a_large_folder_is_listed_quickly_and_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(10_000):  # links are made faster than files; 100,000 of them take 0.3 s to list
        os.link(tmp_path / "a/0.jpg", tmp_path / f"a/{number}.jpg") if number else (tmp_path / "a/0.jpg").touch()
    started = time.perf_counter()
    with pytest.raises(DataError, match="one class only"):
        open_source(tmp_path)
    assert len(open_source(tmp_path, for_training=False).items) == 10_000
    assert time.perf_counter() - started < 2
    assert not hasattr(Item("x"), "__dict__")


# --- archives


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


# --- tables


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    write(folder, *(f"p/{n}.jpg" for n in range(6)))
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


ROWS = [(f"p/{n}.jpg", "ab"[n % 2]) for n in range(6)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n" + "\n".join(map(",".join, ROWS)),
        "\ufeffpath,label\r\n" + "\r\n".join(map(",".join, ROWS)) + "\r\n",
        "path;label\n" + "\n".join(map(";".join, ROWS)),
        "path\tlabel\n" + "\n".join(map("\t".join, ROWS)),
        "sep=;\npath;label\n" + "\n".join(map(";".join, ROWS)),
        "\n\npath,label\n\n" + "\n\n,\n  \n".join(map(",".join, ROWS)) + "\n\n",
        "Label, Path ,extra\n" + "\n".join(f"{label} , {path} ,{n}" for n, (path, label) in enumerate(ROWS)),
        "path,label\n" + "\n".join(f'"{path}","{label}"' for path, label in ROWS),
        "path,label\n" + "\n".join(path.replace("/", "\\") + "," + label for path, label in ROWS),
        "path,label\n" + "\n".join(map(",".join, ROWS + ROWS[:2])),
        ("path,label\n" + "\n".join(map(",".join, ROWS))).encode("utf-16"),
    ],
    ids=["plain", "bom", "semicolons", "tabs", "excel", "blank lines", "order", "quotes", "windows", "repeated", "utf-16"],
)
def test_tables_as_they_are_met(tmp_path: Path, text: str | bytes) -> None:
    source = open_source(table(tmp_path, text))
    assert source.name == "csv_table"
    assert [(item.path, item.label) for item in source.items] == ROWS
    assert {(item.split, item.group) for item in source.items} == {(None, None)}
    check_pictures(source)


def test_a_table_with_splits_and_groups(tmp_path: Path) -> None:
    words = ["train", "TRAIN", "val", "valid", " Validation ", "test"]
    rows = [f"p/{n}.jpg,{'ab'[n % 2]},{word},g{n // 2}" for n, word in enumerate(words)]
    source = open_source(table(tmp_path, "path,label,split,group\n" + "\n".join(rows)))
    assert [item.split for item in source.items] == ["train", "train", "validation", "validation", "validation", "test"]
    assert [item.group for item in source.items] == ["g0", "g0", "g1", "g1", "g2", "g2"]


def test_absolute_paths_missing_files_and_odd_names_in_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "x", "")
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(content("outside.jpg"))
    (tmp_path / "x" / "p" / os.fsdecode(b"\xe9 ,\n.jpg")).write_bytes(content("odd"))
    path.write_bytes(
        b"path,label\np/0.jpg,a\n" + os.fsencode(outside) + b',a\n../outside.jpg,b\np/gone.jpg,b\n"p/\xe9 ,\n.jpg",b\np/1.jpg,b'
    )
    source = open_source(path)
    by_path = {item.path: item for item in source.items}
    assert source.read(by_path[str(outside)]) == source.read(by_path["../outside.jpg"]) == content("outside.jpg")
    assert source.read(by_path[os.fsdecode(b"p/\xe9 ,\n.jpg")]) == content("odd")
    with pytest.raises(UnreadableImage) as caught:
        source.read(by_path["p/gone.jpg"])
    check_error(caught.value, "'p/gone.jpg'", "does not exist")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["p/0.jpg,"], ["row 2", "has no label"]),
        (["p/0.jpg,a", "", ",b"], ["row 4", "has no path"]),
        (["p/0.jpg"], ["row 2", "has no label"]),
        (["p/0.jpg,a,holdout"], ["row 2", "unknown split 'holdout'"]),
        (["p/0.jpg,a,train", "p/1.jpg,a,"], ["row 3", "has no split"]),
        (["p/0.jpg,a", "p/0.jpg,b"], ["row 3", "contradicts row 2", "p/0.jpg"]),
        (["p/0,1.jpg,a,train,g"], ["row 2", "more cells"]),
        (['p/0.jpg,"a' + "x" * 200_000], ["row 2"]),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[str], says: list[str]) -> None:
    path = table(tmp_path, "\n".join(["path,label,split,group"[: None if any(r.count(",") > 1 for r in rows) else 10], *rows]))
    with pytest.raises(DataError) as caught:
        open_source(path)
    check_error(caught.value, str(path), *says)


@pytest.mark.parametrize("text", ["", "\n\n", "file,class\n1,2\n", "p/0.jpg,a\n", "path,label\n", "path\np/0.jpg\n"])
def test_a_table_without_its_columns_or_rows_is_named(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError) as caught:
        open_source(path)
    check_error(caught.value, str(path))


# --- generated


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    with open_source("digits") as source:
        assert len(source.items) == 1797
        assert source.class_names == tuple("0123456789")
        data = load_digits()
        for item in source.items[::50]:
            index = int(item.path[2:6])
            decoded = decode(source.read(item), path=item.path)
            assert decoded.mode == "grey"
            assert item.label == str(data.target[index])
            assert (decoded.pixels == np.rint(data.images[index] * 255 / 16)[..., None]).all()
            assert source.read(item) == source.read(item)
        with pytest.raises(UnreadableImage, match="does not exist"):
            source.read(Item("0/nine.png"))


def test_shapes_are_what_their_targets_say() -> None:
    source = open_source("shapes", seed=3, max_items=60)
    assert source.class_names == ("rectangle", "triangle")
    assert Counter(item.label for item in source.items) == {"rectangle": 30, "triangle": 30}
    for item in source.items:
        pixels, targets = decode(source.read(item), path=item.path).pixels, source.targets(item)
        assert pixels.shape == (224, 224, 3)
        assert targets.box_labels == (item.label,)
        assert targets.masks is not None
        mask = targets.masks[0]
        rows, columns = np.nonzero(mask)
        assert targets.boxes.dtype == np.float32
        assert targets.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        [outline], _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        box_area = np.prod(cv2.minAreaRect(outline)[1])
        assert cv2.contourArea(outline) / box_area == pytest.approx(0.5 if item.label == "triangle" else 1, abs=0.08)
        inside, counts = np.unique(pixels[mask == 1], axis=0, return_counts=True)
        assert counts.max() / counts.sum() > 0.2, "circles and lines hide the shape"
        assert inside[counts.argmax()].max() < 200


def test_triangles_have_equal_sides() -> None:
    source = open_source("shapes", max_items=40)
    for item in source.items[1::2]:
        masks = source.targets(item).masks
        assert masks is not None
        [outline], _ = cv2.findContours(masks[0], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        _, corners = cv2.minEnclosingTriangle(outline)
        corners = np.reshape(corners, (3, 2))
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert sides.max() / sides.min() < 1.12
        assert 45 < sides.mean() < 110


def test_shapes_are_the_same_for_the_same_seed() -> None:
    few, many, other = open_source("shapes", max_items=5), open_source("shapes"), open_source("shapes", seed=1)
    assert len(many.items) == 1000
    assert list(few.items) == list(many.items[:5])
    assert [few.read(item) for item in few.items] == [many.read(item) for item in few.items]
    assert few.read(few.items[0]) != other.read(few.items[0])
    assert open_source("shapes", seed=-1, max_items=2).read(few.items[0])


# --- opening


def test_a_bare_name_is_built_in_and_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "shapes", *FILES)
    monkeypatch.chdir(tmp_path)
    assert open_source("shapes", max_items=2).name == "shapes"
    for path in ("./shapes", "shapes/", str(tmp_path / "shapes"), Path("shapes")):
        assert open_source(path).class_names == ("cat", "dog")
    monkeypatch.chdir(tmp_path / "shapes")
    assert open_source(Path("shapes"), max_items=2).name == "shapes"


@pytest.mark.parametrize("seed", [0, 1])
def test_fewer_items_keep_the_shares_of_classes(tmp_path: Path, seed: int) -> None:
    write(tmp_path, *(f"a/{n}.jpg" for n in range(60)), *(f"b/{n}.jpg" for n in range(30)))
    source = open_source(tmp_path, seed=seed, max_items=30)
    assert Counter(item.label for item in source.items) == {"a": 20, "b": 10}
    assert list(source.items) == list(open_source(tmp_path, seed=seed, max_items=30).items)
    assert list(source.items) != list(open_source(tmp_path, seed=seed + 1, max_items=30).items)
    check_pictures(source)
    assert len(open_source("digits", max_items=100).items) == 100
    with pytest.raises(InputError, match="max_items is 0"):
        open_source(tmp_path, max_items=0)


def _files(*paths: str) -> Callable[[Path], object]:
    return lambda folder: write(folder, *paths)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "is empty"),
        (lambda folder: folder.write_bytes(content("x")), "is a single picture"),
        (lambda folder: folder.write_text("hello"), "is a file of unknown type"),
        (lambda folder: folder.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda folder: (folder / "cat").mkdir(parents=True), "holds no pictures"),
        (_files("a/notes.txt", "b/notes.txt"), "holds no pictures"),
        (_files("1.jpg", "2.jpg"), "holds pictures but no class folders"),
        (_files("cat/1.jpg", "cat/2.jpg"), "holds one class only: 'cat'"),
        (_files("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"), "holds only one picture of 'dog'"),
        (_files(*(f"{c}/1.jpg" for c in "abcdefgh")), "'a', 'b', 'c', 'd', 'e' and 3 more classes"),
        (_files("train/1.jpg", "test/2.jpg"), "holds pictures but no class folders"),
        (_files("train/a/1.jpg", "train/b/1.jpg", "test/2.jpg"), "holds pictures but no class folders"),
        (_files("train/a/x.txt", "test/a/1.jpg"), "holds no pictures"),
        (_files("train/a/1.jpg", "train/b/2.jpg", "test/a/1.jpg", "test/b/2.jpg", "test/c/1.jpg"), "has no training pictures of 'c'"),
        (_files("all/cat/1.jpg", "all/dog/1.jpg"), "holds one class only: 'all'"),
    ],
)
def test_data_that_cannot_be_learned_from_are_named(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    place = tmp_path / "my photos"
    make(place)
    with pytest.raises(DataError) as caught:
        open_source(str(place))
    check_error(caught.value, "my photos", says)


def test_fixes_say_what_to_pass(tmp_path: Path) -> None:
    write(tmp_path / "photos", "all/cat/1.jpg", "all/dog/1.jpg")
    with pytest.raises(DataError, match="'cat', 'dog', pass the folder 'all'"):
        open_source(tmp_path / "photos")
    with pytest.raises(DataError, match=r"did you mean .*photos"):
        open_source(tmp_path / "fotos")
    with pytest.raises(DataError, match="did you mean 'digits'"):
        open_source("digit")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "labels.csv").touch()
    with pytest.raises(DataError, match=r"pass the table itself: 'labels\.csv'"):
        open_source(tmp_path / "csv")


def test_classes_are_checked_again_when_broken_files_are_left_out() -> None:
    items = [Item("a/1", "a"), Item("a/2", "a"), Item("b/1", "b"), Item("b/2", "b"), Item("x", None)]
    check_classes(items)
    for left, says in ((items[:3], "only one picture of 'b'"), (items[:2], "one class only"), ([], "no pictures")):
        with pytest.raises(DataError) as caught:
            check_classes(left, location="photos")
        check_error(caught.value, "'photos'", says)


def test_every_source_states_its_facts() -> None:
    assert {"class_folders", "split_folders", "csv_table", "digits", "shapes"} <= set(SOURCES.names())
    assert all(entry.info.summary and entry.build.__doc__ for entry in SOURCES)
