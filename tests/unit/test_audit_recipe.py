"""`fovea audit` from a folder to what it says and writes; the originals stay as they were."""

import csv
import json
import re
import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import html5lib
import numpy as np
import pytest
from tests.painted import CHANGES, photo

import fovea
from fovea.errors import DataError, InputError, MissingExtra, OutputError
from fovea.files import hash_bytes

SPLITS = {"train": 24, "validation": 10, "test": 10}


def write(path: Path, pixels: np.ndarray, quality: int = 92) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the hash of its content."""
    return {p.relative_to(folder).as_posix(): hash_bytes(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def split_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits with: a broken file, a copy, a contradiction, a leak as it is, one mirrored, one smaller, and a note."""
    data = tmp_path_factory.mktemp("data") / "photos"
    seed = 0
    for split, count in SPLITS.items():
        for label in ("cat", "dog"):
            for index in range(count):
                write(data / split / label / f"{index:02}.jpg", photo(seed := seed + 1))
    train, test = data / "train", data / "test"
    broken = train / "cat" / "00.jpg"
    broken.write_bytes(broken.read_bytes()[:-900])
    shutil.copyfile(train / "cat" / "01.jpg", train / "cat" / "01 copy.jpg")
    shutil.copyfile(train / "cat" / "02.jpg", train / "dog" / "02 copy.jpg")
    shutil.copyfile(test / "dog" / "03.jpg", train / "dog" / "leak.jpg")
    write(train / "dog" / "leak mirrored.jpg", CHANGES["mirrored"](cv2.imread(str(test / "dog" / "04.jpg"))[:, :, ::-1]))
    write(train / "dog" / "leak smaller.jpg", CHANGES["half the size"](cv2.imread(str(data / "validation" / "dog" / "05.jpg"))[:, :, ::-1]))
    (data / "notes.txt").write_text("not a picture")
    return data


@pytest.fixture(scope="module")
def class_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without splits; ten pictures stand there in two versions, and groups can be read from the names."""
    data = tmp_path_factory.mktemp("data") / "classes"
    for index in range(80):
        label = ("cat", "dog")[index % 2]
        write(data / label / f"p{index // 8}_{index:02}.jpg", photo(500 + index))
        if index < 10:
            write(data / label / f"p{index // 8}_{index:02}b.jpg", CHANGES["5 % cut off all around"](photo(500 + index)))
    return data


def test_what_is_found(split_data: Path, tmp_path: Path) -> None:
    before = fingerprint(split_data)
    result = fovea.audit(str(split_data), out=str(tmp_path / "found"))
    told = json.loads((tmp_path / "found" / "audit.json").read_text())
    assert result.to_json() == told | {"out": str(tmp_path / "found")}
    assert [entry["path"] for entry in told["unreadable"]] == ["train/cat/00.jpg"]
    assert sorted(map(sorted, told["duplicates"])) == [
        ["test/dog/03.jpg", "train/dog/leak.jpg"],
        ["train/cat/01 copy.jpg", "train/cat/01.jpg"],
        ["train/cat/02.jpg", "train/dog/02 copy.jpg"],
    ]
    assert [{entry["label"] for entry in conflict} for conflict in told["conflicts"]] == [{"cat", "dog"}]
    leaks = {leak["path"]: (leak["other"], leak["split"], leak["how"], leak["mirrored"]) for leak in told["leaks"]}
    assert leaks == {
        "train/dog/leak.jpg": ("test/dog/03.jpg", "test", "equal", False),
        "train/dog/leak mirrored.jpg": ("test/dog/04.jpg", "test", "near", True),
        "train/dog/leak smaller.jpg": ("validation/dog/05.jpg", "validation", "near", False),
    }
    assert told["near_duplicates"] == told["wrong_labels"] == []
    assert told["ignored"] == ["notes.txt"]
    assert "--labels" in told["notes"][0]
    assert fingerprint(split_data) == before


def test_the_text_says_what_to_do(split_data: Path) -> None:
    text = fovea.audit(str(split_data)).to_text()
    assert text.startswith("92 of 93 pictures can be read")
    assert "train/cat/00.jpg is cut off" in text
    assert "3 training pictures stand in validation or test too" in text
    assert "train/dog/leak mirrored.jpg is 99% like test/dog/04.jpg (test), mirrored" in re.sub(r"is 9\d%", "is 99%", text)
    assert text.index("must be mended") < text.index("good to know")
    assert all("->" in text.split(headline)[1] for headline in ("1 file cannot be read", "1 picture has two different labels"))
    assert "--out DIR" in text


def test_the_page_stands_alone(split_data: Path, tmp_path: Path) -> None:
    fovea.audit(str(split_data), out=str(tmp_path / "found"))
    text = (tmp_path / "found" / "audit.html").read_text()
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    assert len(text) < 5_000_000
    images = page.findall(".//img")
    assert len(images) >= 8
    assert all(image.get("src", "").startswith("data:image/") and image.get("alt") for image in images)
    outside = [
        value
        for node in page.iter()
        for name, value in node.attrib.items()
        if name in ("src", "href") and not value.startswith(("data:", "#"))
    ]
    assert outside == []
    assert page.findall(".//script") == []
    assert "prefers-color-scheme: dark" in text
    targets = {node.get("id") for node in page.iter() if node.get("id")}
    assert {link.get("href", "")[1:] for link in page.findall(".//a")} <= targets, "every link of the contents leads somewhere"
    assert len([node.get("id") for node in page.iter() if node.get("id")]) == len(targets)
    said = " ".join("".join(page.itertext()).split())
    assert "leak mirrored.jpg" in said
    assert "3 training pictures stand in validation or test too" in said


def test_the_page_stays_small_with_many_faults(tmp_path: Path) -> None:
    """Pictures of pure noise, which no compression makes small, all of them leaking."""
    rng = np.random.default_rng(0)
    for index in range(150):
        noise = rng.integers(0, 256, (220, 220, 3), dtype=np.uint8)
        for split in ("train", "test"):
            write(tmp_path / "data" / split / "ab"[index % 2] / f"{index}.jpg", noise)
    for label in "ab":
        write(tmp_path / "data" / "train" / label / "own.jpg", photo(ord(label)))
    fovea.audit(str(tmp_path / "data"), out=str(tmp_path / "found"))
    assert (tmp_path / "found" / "audit.html").stat().st_size < 5_000_000
    assert len(json.loads((tmp_path / "found" / "audit.json").read_text())["leaks"]) == 150


def test_a_second_audit_decodes_nothing(split_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fovea.audit import known
    from fovea.loading import pictures

    first = fovea.audit(str(split_data))
    decoded = []
    real = pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda data, **options: decoded.append(options["path"]) or real(data, **options))
    monkeypatch.setattr(known, "find_near", lambda *_, **__: pytest.fail("it was compared again"))
    assert fovea.audit(str(split_data)).to_json() == first.to_json()
    assert decoded == ["train/cat/00.jpg"], "of a broken file nothing is known that could be kept"


def test_a_cleaned_copy(split_data: Path, tmp_path: Path) -> None:
    before = fingerprint(split_data)
    result = fovea.audit(str(split_data), apply=str(tmp_path / "clean"))
    after = fingerprint(tmp_path / "clean")
    left_out = set(before) - set(after)
    assert {path: content for path, content in before.items() if path in after} == after
    assert left_out == {
        "notes.txt", "train/cat/00.jpg", "train/cat/02.jpg", "train/dog/02 copy.jpg",
        "train/dog/leak.jpg", "train/dog/leak mirrored.jpg", "train/dog/leak smaller.jpg",
    } | (left_out & {"train/cat/01.jpg", "train/cat/01 copy.jpg"})  # fmt: skip
    assert len(left_out & {"train/cat/01.jpg", "train/cat/01 copy.jpg"}) == 1
    assert result.applied is not None
    assert (result.applied.num_pictures, result.applied.num_left_out) == (len(after), 7)
    again = fovea.audit(str(tmp_path / "clean")).to_json()
    assert [finding["kind"] for finding in again["findings"] if finding["level"] == "fault"] == []
    assert fingerprint(split_data) == before
    assert [path.name for path in tmp_path.iterdir()] == ["clean"], "nothing half done is left beside it"


def test_a_table_of_what_is_left(split_data: Path, tmp_path: Path) -> None:
    before = fingerprint(split_data)
    table = tmp_path / "deep" / "clean.csv"
    fovea.audit(str(split_data), apply=str(table))
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0]) == ["path", "label", "split"]
    assert all((table.parent / row["path"]).resolve().is_relative_to(split_data.resolve()) for row in rows)
    with fovea.open_source(str(table)) as source:
        assert len(source.items) == len(rows)
        assert Counter(item.split for item in source.items) == Counter(row["split"] for row in rows)
        assert source.read(source.items[0])
    assert fingerprint(split_data) == before


def test_a_table_without_given_splits_has_those_of_a_training(class_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "clean.csv"
    fovea.audit(str(class_data), apply=str(table), split_by=r"(p\d+)_")
    rows = list(csv.DictReader(table.open()))
    assert set(rows[0]) == {"path", "label", "split", "group"}
    by_group: dict[str, set[str]] = {}
    for row in rows:
        by_group.setdefault(row["group"], set()).add(row["split"])
    assert len(by_group) == 10
    assert all(len(splits) == 1 for splits in by_group.values())
    assert {row["split"] for row in rows} == {"train", "validation", "test"}


def test_versions_stay_on_one_side_of_the_table(class_data: Path, tmp_path: Path) -> None:
    fovea.audit(str(class_data), apply=str(tmp_path / "clean.csv"))
    split_of = {Path(row["path"]).stem: row["split"] for row in csv.DictReader((tmp_path / "clean.csv").open())}
    versions = [name for name in split_of if name.endswith("b")]
    assert len(versions) == 10
    assert all(split_of[name] == split_of[name[:-1]] for name in versions)


def test_a_zip_is_cleaned_into_a_folder(class_data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(class_data.rglob("*.jpg")):
            file.write(path, path.relative_to(class_data).as_posix())
    result = fovea.audit(str(archive), apply=str(tmp_path / "clean"))
    assert fingerprint(tmp_path / "clean") == fingerprint(class_data)
    assert result.applied is not None
    assert result.applied.num_left_out == 0
    with pytest.raises(InputError, match="a table cannot name the pictures"):
        fovea.audit(str(archive), apply=str(tmp_path / "clean.csv"))


def test_strange_names_become_safe_ones(tmp_path: Path) -> None:
    """Labels and files of a table may be called anything: nothing leaves the folder, nothing is hidden, nothing collides."""
    for index in range(8):
        write(tmp_path / f"{index % 4}" / "photo.jpg" if index < 4 else tmp_path / f"{index}.jpg", photo(index))
    labels = ["a/b", "../up", ".hidden", "a/b", "A/B", "tail.", "a%2Fb", "nul:"]
    names = ["0/photo.jpg", "1/photo.jpg", "2/photo.jpg", "3/photo.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg"]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(names, labels, strict=True)])
    fovea.audit(str(tmp_path / "table.csv"), apply=str(tmp_path / "out" / "clean"))
    written = fingerprint(tmp_path / "out")
    assert len(written) == 8
    assert len({path.lower() for path in written}) == 8
    assert all(path.startswith("clean/") and not any(part.startswith(".") for part in path.split("/")) for path in written)
    with fovea.open_source(str(tmp_path / "out" / "clean"), for_training=False) as source:
        assert len(source.items) == 8


def test_a_small_balanced_part(class_data: Path, tmp_path: Path) -> None:
    sizes = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        result = fovea.audit(str(class_data), subset=30, out=str(tmp_path / name), seed=seed)
        assert result.subset is not None
        sizes[name] = fingerprint(tmp_path / name)
        assert result.subset.by_class == {"cat": 15, "dog": 15}
        assert not (tmp_path / name / "audit.json").exists(), "the folder is data, and nothing else"
    assert sizes["one"] == sizes["again"] != sizes["other"]
    assert len(sizes["one"]) == 30
    originals = set(fingerprint(class_data).values())
    assert set(sizes["one"].values()) <= originals
    names = [Path(path).stem.removesuffix("b") for path in sizes["one"]]
    assert len(set(names)) == 30, "of two versions of a picture one"


def test_a_part_of_data_with_splits_keeps_them(split_data: Path, tmp_path: Path) -> None:
    result = fovea.audit(str(split_data), subset=20, out=str(tmp_path / "part"))
    assert result.subset is not None
    assert result.subset.num_pictures == 20
    assert sum(result.subset.by_split.values()) == 20
    assert set(result.subset.by_split) == set(SPLITS)
    assert result.subset.by_split["train"] in (10, 11)
    faulty = {"train/cat/00.jpg", "train/dog/leak.jpg", "train/dog/leak mirrored.jpg", "train/cat/02.jpg"}
    assert not faulty & set(fingerprint(tmp_path / "part"))


def test_small_classes_give_what_they_have(tmp_path: Path) -> None:
    for label, count in (("a", 3), ("b", 20), ("c", 20)):
        for index in range(count):
            write(tmp_path / "data" / label / f"{index}.jpg", photo(ord(label) * 100 + index))
    result = fovea.audit(str(tmp_path / "data"), subset=21, out=str(tmp_path / "part"))
    assert result.subset is not None
    assert result.subset.by_class == {"a": 3, "b": 9, "c": 9}
    whole = fovea.audit(str(tmp_path / "data"), subset=1000, out=str(tmp_path / "whole"))
    assert whole.subset is not None
    assert whole.subset.num_pictures == 43


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"subset": 10}, InputError, "--subset needs"),
        ({"subset": 0, "out": "x"}, InputError, "--subset needs"),
        ({"subset": 1, "out": "x"}, InputError, "--subset 1 is fewer than one picture of each class"),
        ({"split_by": "("}, InputError, "no regular expression"),
        ({"apply": "full"}, OutputError, "'full' is not empty"),
        ({"apply": "data/clean"}, OutputError, "lies within the data"),
        ({"apply": "full/there.csv"}, OutputError, "exists already"),
        ({"subset": 4, "out": "full"}, OutputError, "'full' is not empty"),
        ({"subset": 4, "out": "data/part"}, OutputError, "lies within the data"),
        ({"labels": True, "backbone": "no_such"}, InputError, "no_such"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    class_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], error: type[Exception], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(class_data, tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "there.csv").write_text("mine")
    if options.get("labels"):
        pytest.importorskip("cleanlab")
    before = fingerprint(tmp_path)
    with pytest.raises(error, match=problem):
        fovea.audit("data", **options)  # type: ignore[arg-type]
    assert fingerprint(tmp_path) == before


def test_labels_need_cleanlab_and_say_so_before_any_work(class_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtra, match="wrong labels") as caught:
        fovea.audit(str(class_data), labels=True)
    assert caught.value.fix == "pip install cleanlab"


def test_an_interrupted_copy_leaves_nothing(class_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fovea.data.source import TreeSource

    real, reads = TreeSource.read, []

    def fail_late(self: TreeSource, item: object) -> bytes:
        reads.append(item)
        if len(reads) > 130:  # all were hashed; now they are copied
            raise KeyboardInterrupt
        return real(self, item)  # type: ignore[arg-type]

    fovea.audit(str(class_data))
    monkeypatch.setattr(TreeSource, "read", fail_late)
    with pytest.raises(KeyboardInterrupt):
        fovea.audit(str(class_data), apply=str(tmp_path / "clean"))
    assert list(tmp_path.iterdir()) == []


OPTIONS = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 32}


@pytest.mark.slow
def test_training_leaves_leaks_out_of_train_and_never_out_of_test(split_data: Path, tmp_path: Path) -> None:
    run = fovea.train(str(split_data), out=str(tmp_path / "run"), **OPTIONS)  # type: ignore[arg-type]
    kept = fovea.train(str(split_data), out=str(tmp_path / "kept"), keep_leaks=True, **OPTIONS)  # type: ignore[arg-type]
    readable = 2 * SPLITS["train"] + 5 - 1
    assert run.metrics.num_files == {"train": readable - 3, "validation": 20, "test": 20}
    assert kept.metrics.num_files == {"train": readable, "validation": 20, "test": 20}
    notes = [" ".join(r.to_json()["notes"]) for r in (run, kept)]
    assert "3 training pictures were left out: in validation or test too" in notes[0]
    assert "3 training pictures stand in validation or test too and were kept" in notes[1]
    for folder in (run, kept):
        assert len(json.loads((folder.path / "audit.json").read_text())["leaks"]) == 3
    assert "--keep-leaks" in kept.metrics.command


@pytest.mark.slow
def test_training_keeps_versions_and_groups_on_one_side(class_data: Path, tmp_path: Path) -> None:
    run = fovea.train(str(class_data), out=str(tmp_path / "run"), **OPTIONS)  # type: ignore[arg-type]
    assert json.loads((run.path / "audit.json").read_text())["leaks"] == []
    assert "10 pictures are there in several" in " ".join(run.to_json()["notes"])
    grouped = fovea.train(str(class_data), out=str(tmp_path / "grouped"), split_by=r"(p\d+)_", **OPTIONS)  # type: ignore[arg-type]
    tested = {row["path"] for row in csv.DictReader((grouped.path / "predictions.csv").open())}
    groups = {re.search(r"(p\d+)_", path)[1] for path in tested}  # type: ignore[index]
    whole = {path.relative_to(class_data).as_posix() for path in class_data.rglob("*.jpg") if re.search(r"(p\d+)_", path.name)[1] in groups}  # type: ignore[index]
    assert tested == whole, "groups in test are there with all their pictures"
    with pytest.raises(InputError, match="fits none"):
        fovea.train(str(class_data), out=str(tmp_path / "bad"), split_by="(zzz)", **OPTIONS)  # type: ignore[arg-type]
    assert not (tmp_path / "bad").exists()


def test_a_class_that_is_all_leaks_is_said(split_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(split_data / "test", data / "test")
    shutil.copytree(split_data / "test" / "cat", data / "train" / "cat")
    for index in range(6):
        write(data / "train" / "dog" / f"{index}.jpg", photo(9_000 + index))
    with pytest.raises(DataError, match="all training pictures of 'cat'") as caught:
        fovea.train(str(data), out=str(tmp_path / "run"), **OPTIONS)  # type: ignore[arg-type]
    assert "--keep-leaks" in caught.value.fix
    run = fovea.train(str(data), out=str(tmp_path / "run"), keep_leaks=True, **OPTIONS)  # type: ignore[arg-type]
    assert run.metrics.num_files["train"] > 6


@pytest.mark.slow
def test_labels_are_judged_once_there_are_embeddings(class_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training leaves its embeddings in the store: the next audit uses them without being asked."""
    pytest.importorskip("cleanlab")
    monkeypatch.setenv("FOVEA_CACHE", str(tmp_path / "cache"))
    assert "have no embeddings yet" in fovea.audit(str(class_data)).to_json()["notes"][0]
    fovea.train(str(class_data), out=str(tmp_path / "run"), **OPTIONS)  # type: ignore[arg-type]
    (note,) = fovea.audit(str(class_data)).to_json()["notes"]
    assert "tell these classes apart too badly" in note, "random weights, and pictures whose labels mean nothing"
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    (note,) = fovea.audit(str(class_data)).to_json()["notes"]
    assert "pip install cleanlab" in note
