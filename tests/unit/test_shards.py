"""Shards: written, read back, read by their own libraries; nothing that is broken goes unnoticed; order as tf.data has it."""

import base64
import io
import json
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.test_loader_store import paint

import fovea
from fovea.data import open_source
from fovea.data.sources.shards import ShardSource
from fovea.data.tfrecord import pack_example, records, unpack_example, write_record
from fovea.errors import DataError, InputError, MissingExtra, UnreadableImage
from fovea.loading.scan import scan
from fovea.loading.shards import interleave, read_shards, write_shards

KINDS = ("webdataset", "tfrecord")

# Two records that TensorFlow 2.21 wrote: tf.io.TFRecordWriter, tf.train.Example with image/encoded (b"GIF89a" and three times the
# record's number), image/class/label (0, 7), image/class/text (cat, dog), numbers (-1, 300, 2**40) and box (0.25, -1.5).
GOLDEN = base64.b64decode(
    "lAAAAAAAAABdJfEACpEBChMKA2JveBIMEgoKCAAAgD4AAMC/ChoKEWltYWdlL2NsYXNzL2xhYmVsEgUaAwoBAAobChBpbWFnZS9jbGFzcy90ZXh0EgcKBQoDY2F0Ch4K"
    "DWltYWdlL2VuY29kZWQSDQoLCglHSUY4OWEAAAAKIQoHbnVtYmVycxIWGhQKEv///////////wGsAoCAgICAIBlEIneUAAAAAAAAAF0l8QAKkQEKEwoDYm94EgwSCgoI"
    "AACAPgAAwL8KGgoRaW1hZ2UvY2xhc3MvbGFiZWwSBRoDCgEHChsKEGltYWdlL2NsYXNzL3RleHQSBwoFCgNkb2cKHgoNaW1hZ2UvZW5jb2RlZBINCgsKCUdJRjg5YQEB"
    "AQohCgdudW1iZXJzEhYaFAoS////////////AawCgICAgIAgO4ZTYg=="
)


def golden_features(number: int) -> dict[str, list]:
    return {
        "box": [0.25, -1.5],
        "image/class/label": [(0, 7)[number]],
        "image/class/text": [(b"cat", b"dog")[number]],
        "image/encoded": [b"GIF89a" + bytes([number] * 3)],
        "numbers": [-1, 300, 2**40],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return paint(tmp_path / "data", 30)


def contents(source: fovea.data.Source) -> Counter:
    return Counter((source.read(item), item.label) for item in source.items)


# ---- the format


def test_records_are_those_of_tensorflow_byte_for_byte():
    file = io.BytesIO()
    for number in range(2):
        write_record(file, pack_example(golden_features(number)))
    assert file.getvalue() == GOLDEN
    found = [unpack_example(data, location="golden") for _, data in records(io.BytesIO(GOLDEN), location="golden")]
    assert found == [golden_features(0), golden_features(1)]


@pytest.mark.parametrize("place", [0, 9, 30, len(GOLDEN) // 2 - 1, len(GOLDEN) // 2 + 5, len(GOLDEN) - 1])
def test_a_changed_byte_is_found(place):
    broken = bytearray(GOLDEN)
    broken[place] ^= 4
    with pytest.raises(DataError, match=r"'x.tfrecord' is broken at byte (0|164)") as caught:
        list(records(io.BytesIO(bytes(broken)), location="x.tfrecord"))
    assert "checksum" in caught.value.got


@pytest.mark.parametrize("length", [1, 11, 12, 100, 163, 165, 180, len(GOLDEN) - 1])
def test_a_file_that_is_cut_off_is_found(length):
    with pytest.raises(DataError, match=r"'x.tfrecord' is cut off at byte (0|164)"):
        list(records(io.BytesIO(GOLDEN[:length]), location="x.tfrecord"))


def test_something_else_is_said():
    file = io.BytesIO()
    write_record(file, b"\xff\xff\xff no message")
    (record,) = records(file, location="x")
    with pytest.raises(DataError, match=r"no tf\.train\.Example"):
        unpack_example(record[1], location="x")
    with pytest.raises(DataError, match="compressed as a whole") as caught:
        list(records(io.BytesIO(b"\x1f\x8b rest"), location="x"))
    assert "gunzip" in caught.value.fix


@pytest.mark.parametrize(("module", "kind"), [("google_crc32c", "tfrecord"), ("webdataset", "webdataset")])
def test_the_package_is_named_where_it_is_missing(data, tmp_path, monkeypatch, module, kind):
    monkeypatch.setitem(sys.modules, module, None)
    with open_source(data) as source, pytest.raises(MissingExtra) as caught:
        write_shards(source, tmp_path / "out", kind=kind)
    assert caught.value.fix == f"pip install {module.replace('_', '-')}"
    assert list((tmp_path / "out").iterdir()) == [], "nothing half-written stays"


# ---- written and read back


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_back(data, tmp_path, kind):
    with open_source(data) as source:
        written = write_shards(source, tmp_path / "out", kind=kind, pictures_per_shard=8)
        assert [path.name.partition(".")[0] for path in written.paths] == [f"data-{n:05d}-of-00004" for n in range(4)]
        assert (written.num_pictures, written.problems) == (30, [])
        with open_source(tmp_path / "out") as shards:
            assert isinstance(shards, ShardSource)
            assert shards.class_names == source.class_names == ("cat", "dog")
            assert contents(shards) == contents(source)
            assert len({item.path for item in shards.items}) == 30
            assert [item.path for item in shards.items] == sorted(item.path for item in shards.items)
            assert sorted(scan(shards).hashes) == sorted(scan(source).hashes), "to caches and splits it is the same data"
            read = [(data, item.label) for item, data in read_shards(shards, cycle=3, block=2)]
            assert Counter(read) == contents(source)
        for shard in written.paths[:2]:
            with open_source(shard) as one:
                labels = Counter(item.label for item in one.items)
                assert set(labels) == {"cat", "dog"}, "a shard holds all classes"
                assert sum(labels.values()) == 8
        with open_source(str(tmp_path / "out" / "data-0000[12]-*")) as some:
            assert len(some.items) == 16
    again = [path.read_bytes() for path in written.paths]
    with open_source(data) as source:
        assert [path.read_bytes() for path in write_shards(source, tmp_path / "out", kind=kind, pictures_per_shard=8).paths] == again


@pytest.mark.parametrize("kind", KINDS)
def test_splits_and_groups_travel(tmp_path, kind):
    data = paint(tmp_path / "data", 12)
    table = "path,label,split,group\n" + "".join(
        f"{path.relative_to(data)},{path.parent.name},{('train', 'train', 'test')[number % 3]},g{number % 5}\n"
        for number, path in enumerate(sorted(data.rglob("*.png")))
    )
    (data / "table.csv").write_text(table)
    with open_source(data / "table.csv") as source:
        write_shards(source, tmp_path / "out", kind=kind)
        expected = Counter((source.read(item), item.label, item.split, item.group) for item in source.items)
    with open_source(tmp_path / "out") as shards:
        assert Counter((shards.read(item), item.label, item.split, item.group) for item in shards.items) == expected
        assert [name.partition("-")[0] for name in shards.shards] == ["test", "train"]
    with open_source(str(tmp_path / "out" / "train-*")) as train:
        assert {item.split for item in train.items} == {None}, "training shards alone are all the data, and are split"


def test_what_cannot_be_read_is_left_out_and_named(data, tmp_path):
    (data / "cat" / "broken.png").mkdir()
    (data / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    with open_source(data) as source:
        for kind in KINDS:
            written = write_shards(source, tmp_path / kind, kind=kind, pictures_per_shard=7)
            assert written.num_pictures == 30
            assert ["gone.png" in problem.problem for problem in written.problems] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_shards_is_the_run_on_the_folder(tmp_path, kind):
    from tests.shared_runs import paint as paint_shapes

    photos = paint_shapes(tmp_path / "photos", {"cross": 30, "disc": 30})
    with open_source(photos) as source:
        write_shards(source, tmp_path / "shards", kind=kind, pictures_per_shard=25)
    options = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 32}
    runs = [fovea.train(str(data), out=str(tmp_path / f"run{n}"), **options) for n, data in enumerate((photos, tmp_path / "shards"))]
    assert runs[0].metrics.test == runs[1].metrics.test
    assert runs[0].metrics.validation == runs[1].metrics.validation


def test_bad_arguments(data, tmp_path):
    with open_source(data) as source:
        with pytest.raises(InputError, match="pictures_per_shard is 0"):
            write_shards(source, tmp_path / "out", pictures_per_shard=0)
        with pytest.raises(InputError, match="no shards are called 'parquet'"):
            write_shards(source, tmp_path / "out", kind="parquet")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="is not made of shards"):
            next(read_shards(source))


# ---- as others write them, and read ours


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def picture(number: int) -> bytes:
    import cv2

    return cv2.imencode(".png", np.full((9, 9, 3), number, np.uint8))[1].tobytes()


def test_the_package_webdataset_reads_ours_and_we_read_its(data, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with open_source(data) as source:
        written = write_shards(source, tmp_path / "out", pictures_per_shard=8)
        expected = contents(source)
    samples = list(webdataset.WebDataset([str(path) for path in written.paths], shardshuffle=False, empty_check=False))
    assert Counter((sample["png"], ("cat", "dog")[int(sample["cls"])]) for sample in samples) == expected
    assert {json.loads(sample["json"])["label"] for sample in samples} == {"cat", "dog"}
    (tmp_path / "theirs").mkdir()
    with webdataset.TarWriter(str(tmp_path / "theirs" / "train-000.tar")) as tar:
        for number in range(6):
            tar.write({"__key__": f"a/{number:03}", "png": np.full((9, 9, 3), number, np.uint8), "cls": number % 3})
    with open_source(tmp_path / "theirs") as shards:
        assert shards.class_names == ("0", "1", "2")
        assert [item.path for item in shards.items[:2]] == ["train-000.tar/a/000.png", "train-000.tar/a/001.png"]


@pytest.mark.parametrize(
    ("members", "labels"),
    [
        ({"a.jpg": 1, "a.cls": b"5", "b.jpg": 2, "b.cls": b"7\n"}, ["5", "7"]),
        ({"a.jpg": 1, "a.json": b'{"label": "cat"}', "b.jpg": 2, "b.json": b'{"label": 3, "group": "g"}'}, ["cat", "3"]),
        ({"a.jpg": 1, "a.cls": b"5", "a.json": b'{"caption": "no label"}', "a.seg.png": 3}, ["5"]),
        ({"cat/a.jpg": 1, "dog/b.jpg": 2, "dog/c.jpg": 3}, ["cat", "dog", "dog"]),
    ],
)
def test_tars_as_people_write_them(tmp_path, members, labels):
    made = {name: content if isinstance(content, bytes) else picture(content) for name, content in members.items()}
    tar_of(tmp_path / "shards" / "x-0.tar", made)
    with open_source(tmp_path / "shards", for_training=False) as source:
        assert [item.label for item in source.items] == labels
        assert all(source.read(item).startswith(b"\x89PNG") for item in source.items)
    if "cat/a.jpg" not in members:
        with open_source(tmp_path / "shards" / "x-0.tar", for_training=False) as source:
            assert (source.name, [item.label for item in source.items]) == ("shards", labels)


def test_records_as_people_write_them(tmp_path):
    for name, features in {
        "imagenet": {"image/encoded": [picture(1)], "image/class/label": [3]},
        "tfds": {"image": [picture(2)], "label": [1], "filename": [b"two.png"]},
        "own": {"bytes": [picture(3)], "class_name": [b"owl"]},
    }.items():
        with open(tmp_path / f"{name}.tfrecord-00000-of-00001", "wb") as file:
            write_record(file, pack_example(features))
    with open_source(tmp_path, for_training=False) as source:
        assert {item.path: item.label for item in source.items} == {
            "imagenet.tfrecord-00000-of-00001/00000000": "3",
            "own.tfrecord-00000-of-00001/00000000": "owl",
            "tfds.tfrecord-00000-of-00001/00000000/two.png": "1",
        }


@pytest.mark.parametrize(
    ("features", "says"),
    [({"image/encoded": [b"\x89PNG\r\n\x1a\n"]}, "has no class"), ({"label": [1]}, "without a picture"), ({}, "without a picture")],
)
def test_records_that_hold_too_little(tmp_path, features, says):
    with open(tmp_path / "x.tfrecord", "wb") as file:
        write_record(file, pack_example(features))
    with pytest.raises(DataError, match=says):
        open_source(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["cut off", "changed"])
def test_a_broken_shard_is_named(data, tmp_path, kind, fault):
    with open_source(data) as source:
        written = write_shards(source, tmp_path / "out", kind=kind, pictures_per_shard=10)
    path = written.paths[1]
    whole = bytearray(path.read_bytes())
    if fault == "cut off":
        path.write_bytes(whole[: len(whole) * 2 // 3 + 100])
    else:
        whole[1024 if kind == "tfrecord" else 150] ^= 1  # in a record's data; in a tar's header, whose data have no checksum
        path.write_bytes(whole)
    with pytest.raises(DataError, match=path.name):
        open_source(tmp_path / "out")


def test_a_record_that_breaks_after_it_was_listed_is_named(data, tmp_path):
    with open_source(data) as source:
        write_shards(source, tmp_path / "out", kind="tfrecord")
    with open_source(tmp_path / "out") as shards:
        (path,) = (tmp_path / "out").iterdir()
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2] ^= 1
        path.write_bytes(whole)
        problems = []
        for item in shards.items:
            try:
                shards.read(item)
            except UnreadableImage as problem:
                problems.append((item.path, problem.problem))
        ((where, said),) = problems
        assert where in said
        with pytest.raises(UnreadableImage, match="can no longer be read"):
            list(read_shards(shards))


def test_a_folder_of_pictures_is_no_folder_of_shards(data):
    tar_of(data / "backup.tar", {"cat/a.png": picture(1)})
    with open_source(data) as source:
        assert source.name == "class_folders"
        assert "backup.tar" in source.ignored


# ---- side by side


def streams(lengths: list[int]) -> list:
    return [lambda index=index, length=length: (index * 100 + place for place in range(length)) for index, length in enumerate(lengths)]


# What tf.data (TensorFlow 2.21) gives for Dataset.interleave with cycle_length and block_length.
OF_TENSORFLOW = [
    ([6, 6, 6, 6, 6], 2, 4, "0 1 2 3 100 101 102 103 4 5 104 105 200 201 202 203 300 301 302 303 204 205 304 305 400 401 402 403 404 405"),
    (
        [4, 8, 0, 3, 9, 1, 4], 3, 4,
        "0 1 2 3 100 101 102 103 104 105 106 107 300 301 302 400 401 402 403 500 404 405 406 407 600 601 602 603 408",
    ),
    ([5, 5, 5], 8, 2, "0 1 100 101 200 201 2 3 102 103 202 203 4 104 204"),
    ([8, 4, 4, 8], 2, 4, "0 1 2 3 100 101 102 103 4 5 6 7 200 201 202 203 300 301 302 303 304 305 306 307"),
    ([3, 0, 0, 5, 2], 2, 2, "0 1 2 300 301 400 401 302 303 304"),
]  # fmt: skip


@pytest.mark.parametrize(("lengths", "cycle", "block", "expected"), OF_TENSORFLOW)
def test_the_order_is_that_of_tf_data(lengths, cycle, block, expected):
    for _ in range(3):
        assert list(interleave(streams(lengths), cycle=cycle, block=block)) == [int(word) for word in expected.split()]


@pytest.mark.parametrize("cycle", [1, 2, 5, 20])
def test_without_an_order_everything_comes_once_and_each_stream_in_order(cycle):
    lengths = [40, 3, 0, 17, 25]
    found = list(interleave(streams(lengths), cycle=cycle, block=4, deterministic=False))
    assert sorted(found) == [index * 100 + place for index, length in enumerate(lengths) for place in range(length)]
    for index, length in enumerate(lengths):
        assert [value % 100 for value in found if value // 100 == index] == list(range(length))


def test_a_slow_stream_holds_up_nobody_who_asks_for_no_order():
    gate = threading.Event()

    def slow() -> Iterator[str]:
        gate.wait(10)
        yield "slow"

    def fast() -> Iterator[str]:
        yield from ["fast"] * 50

    found = interleave([slow, fast], cycle=2, block=1, deterministic=False)
    assert [next(found) for _ in range(50)] == ["fast"] * 50
    gate.set()
    assert list(found) == ["slow"]


def test_streams_are_read_side_by_side():
    """Each of four waits for all the others: one after the other they would wait for ever."""
    barrier = threading.Barrier(4, timeout=10)

    def stream() -> Iterator[int]:
        yield barrier.wait()

    assert sorted(interleave([stream] * 4, cycle=4, block=1)) == [0, 1, 2, 3]


@pytest.mark.parametrize("deterministic", [True, False])
def test_an_error_comes_at_its_turn_and_nothing_is_left_running(deterministic):
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("broken shard")

    before = threading.active_count()
    found = []
    with pytest.raises(ValueError, match="broken shard"):
        found.extend(interleave([breaks], cycle=2, block=4, deterministic=deterministic))
    endless = interleave([lambda: iter(range(10**9))] * 3, cycle=3, block=2, deterministic=deterministic)
    assert [next(endless) for _ in range(5)]
    endless.close()
    time.sleep(0.05)
    assert threading.active_count() == before


def test_few_blocks_are_read_ahead():
    taken = []

    def stream() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    found = interleave([stream], cycle=1, block=5)
    next(found)
    time.sleep(0.2)
    assert len(taken) <= 5 * 5
    found.close()


@pytest.mark.parametrize(("name", "options"), [("cycle", {"cycle": 0}), ("block", {"block": -1})])
def test_a_cycle_or_block_that_cannot_be(name, options):
    with pytest.raises(InputError, match=f"{name} is "):
        interleave(streams([1]), **options)
