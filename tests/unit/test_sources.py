"""Sources against trees that the tests write themselves: the right pictures, labels and splits, or an error that names the file."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.bad_files import make_bad_folder
from tests.made_trees import FILES, check_error, check_pictures, content, pack, write

from fovea.data import check_classes, decode, open_source
from fovea.data.source import SOURCES
from fovea.data.trees import FolderTree, list_pictures
from fovea.errors import DataError, InputError, UnreadableImage
from fovea.types import Item

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


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("training_set", "test_set", "test"),
        ("Training", "Testing", "test"),
        ("train_set", "valid-set", "validation"),
        ("trainset", "testset", "test"),
        ("train", "val_set", "validation"),
        ("Train Data", "Validation Data", "validation"),
        ("train2017", "val2017", "validation"),
        ("train_images", "test_images", "test"),
    ],
)
def test_splits_under_other_common_names(tmp_path: Path, train: str, other: str, split: str) -> None:
    source = open_source(write(tmp_path, *(f"{folder}/{label}/{n}.jpg" for folder in (train, other) for label in "ab" for n in range(2))))
    assert {(item.path.split("/")[0], item.split) for item in source.items} == {(train, "train"), (other, split)}
    assert source.class_names == ("a", "b")


@pytest.mark.parametrize(
    ("folders", "fix"),
    [
        (("trian", "test"), "rename 'trian' to 'train'"),
        (("train", "vaildation"), "rename 'vaildation' to 'validation'"),
        (("tranining_set", "tset_set"), "rename 'tranining_set' to 'train', 'tset_set' to 'test'"),
        (("learn", "test"), "rename 'learn' to 'train'"),
    ],
)
def test_splits_that_are_misspelt_are_no_classes(tmp_path: Path, folders: tuple[str, ...], fix: str) -> None:
    write(tmp_path, *(f"{folder}/{label}/{n}.jpg" for folder in folders for label in ("cat", "dog") for n in range(2)))
    with pytest.raises(DataError, match="look like parts of a split") as caught:
        open_source(tmp_path)
    assert fix in caught.value.fix
    assert "'cat', 'dog'" in caught.value.got


def test_classes_that_only_sound_like_splits_are_classes(tmp_path: Path) -> None:
    shared = [f"{label}/{part}/1.jpg" for label in ("rain", "sun") for part in ("day", "night")]
    assert open_source(write(tmp_path, *shared)).class_names == ("rain", "sun")


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


def test_a_class_has_one_name_however_its_folder_is_spelt(tmp_path: Path) -> None:
    """macOS writes an accent as a character of its own; Latin-1 is what spreadsheets write, and no text at all in UTF-8."""
    composed, split, latin = "caf\u00e9", "cafe\u0301", os.fsdecode(b"caf\xe9")
    files = [f"{name}/{n}.jpg" for name in (composed, split, latin) for n in range(2)]
    write(tmp_path / "tree", *files)
    table = tmp_path / "tree" / "t.csv"
    rows = [f"{path},{path.partition('/')[0]}" for path in files]
    table.write_bytes(os.fsencode("\n".join(["path,label", *rows, f"{files[0]},{split}"])))
    for source in (open_source(tmp_path / "tree"), open_source(table)):
        assert source.class_names == ("caf\\xe9", composed)
        assert {item.path: item.label for item in source.items} == dict.fromkeys(files[:4], composed) | dict.fromkeys(files[4:], "caf\\xe9")
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
    started = time.process_time()
    with pytest.raises(DataError, match="one class only"):
        open_source(tmp_path)
    assert len(open_source(tmp_path, for_training=False).items) == 10_000
    assert time.process_time() - started < 2
    assert not hasattr(Item("x"), "__dict__")


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
