"""A source written as shards: WebDataset tars, or TFRecords of tf.train.Example."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from fovea.data import Source
from fovea.data.sniff import HEAD_BYTES, sniff
from fovea.data.tfrecord import pack_example, write_record
from fovea.errors import InputError, UnreadableImage, missing_extra
from fovea.files import ready_folder, write_atomic
from fovea.loading.parallel import map_ordered
from fovea.progress import Progress
from fovea.types import Item, Split

_SUFFIXES = {"webdataset": "tar", "tfrecord": "tfrecord"}


@dataclass(frozen=True)
class Written:
    """What was written: the shards, how many pictures they hold, and what was left out because it could not be read."""

    paths: list[Path]
    num_pictures: int
    problems: list[UnreadableImage]


def write_shards(
    source: Source,
    out: str | Path,
    *,
    kind: Literal["webdataset", "tfrecord"] = "webdataset",
    splits: Sequence[Split | None] | None = None,
    pictures_per_shard: int = 1000,
    seed: int | None = 0,
) -> Written:
    """Writes every picture, with its file as it is, into shards named SPLIT-00000-of-00004.tar (or .tfrecord).

    Each shard is written whole or not at all. A tar holds NUMBER.jpg, NUMBER.cls (the class's number) and NUMBER.json
    (label, path, group); a record image/encoded, image/format, image/class/label, image/class/text, image/filename and,
    where there is one, image/group.

    Args:
        source: What is written. Boxes and masks are not.
        out: A folder.
        kind: Of the shards.
        splits: Of each item; by default what the data state. Those without are written as data-00000-of-00004.tar.
        pictures_per_shard: In each but the last; shards of 100 to 1,000 MB serve most disks well.
        seed: Pictures are dealt to the shards at random, so that a shard holds all classes; None keeps their order.

    Raises:
        InputError: `pictures_per_shard` is below 1, or the kind is unknown.
        MissingExtra: The packages of the extra `shards` are not installed.
        DiskFull, OutputError: A shard could not be written.
    """
    if pictures_per_shard < 1:
        raise InputError(
            f"pictures_per_shard is {pictures_per_shard}", got=pictures_per_shard, expected="1 or more", fix="leave it out for 1,000"
        )
    if kind not in _SUFFIXES:
        raise InputError(f"no shards are called {kind!r}", got=repr(kind), expected="webdataset or tfrecord", fix="choose one of these")
    if not source.kind.exclusive:
        raise InputError(
            f"shards hold one class for each picture, and {source.location!r} has {source.kind.name}",
            got=source.kind.name,
            expected="pictures of one class each",
            fix="train from the table itself",
        )
    folder = ready_folder(out)
    groups: dict[Split | None, list[Item]] = {}
    for item, split in zip(source.items, splits or [item.split for item in source.items], strict=True):
        groups.setdefault(split, []).append(item)
    written = Written([], 0, [])
    num_pictures = 0
    with Progress("writing shards", total=len(source.items)) as bar:
        for split, items in sorted(groups.items(), key=lambda pair: str(pair[0])):
            dealt = items if seed is None else [items[place] for place in np.random.default_rng([seed, len(items)]).permutation(len(items))]
            count = -(-len(items) // pictures_per_shard)
            for number in range(count):
                here = dealt[number * pictures_per_shard : (number + 1) * pictures_per_shard]
                path = folder / f"{split or 'data'}-{number:05d}-of-{count:05d}.{_SUFFIXES[kind]}"
                fill = partial(_fill_tar if kind == "webdataset" else _fill_records, source=source, items=here, problems=written.problems)
                before = len(written.problems)
                written.paths.append(write_atomic(path, fill))
                num_pictures += len(here) - (len(written.problems) - before)
                bar.advance(len(here))
    return Written(written.paths, num_pictures, written.problems)


def _fill_tar(file: BinaryIO, *, source: Source, items: Sequence[Item], problems: list[UnreadableImage]) -> None:
    try:
        import webdataset
    except ImportError as error:
        raise missing_extra("webdataset", "shards", "writing WebDataset tars") from error
    number_of = {name: number for number, name in enumerate(source.class_names)}
    with webdataset.TarWriter(file, user="", group="", mtime=0) as tar:  # the same pictures give the same bytes
        for number, (item, data, suffix) in enumerate(_read(source, items, problems)):
            told = {"label": item.label, "path": item.path} | ({"group": item.group} if item.group is not None else {})
            sample: dict[str, str | bytes] = {"__key__": f"{number:08d}", suffix: data, "json": json.dumps(told, sort_keys=True).encode()}
            if item.label is not None:
                sample["cls"] = str(number_of[item.label]).encode()
            tar.write(sample)


def _fill_records(file: BinaryIO, *, source: Source, items: Sequence[Item], problems: list[UnreadableImage]) -> None:
    number_of = {name: number for number, name in enumerate(source.class_names)}
    for item, data, suffix in _read(source, items, problems):
        features: dict[str, list[bytes] | list[float] | list[int]] = {
            "image/encoded": [data],
            "image/format": [suffix.encode()],
            "image/filename": [item.path.encode("utf-8", "surrogateescape")],
        }
        if item.label is not None:
            features["image/class/label"] = [number_of[item.label]]
            features["image/class/text"] = [item.label.encode("utf-8", "surrogateescape")]
        if item.group is not None:
            features["image/group"] = [item.group.encode("utf-8", "surrogateescape")]
        write_record(file, pack_example(features))


def _read(source: Source, items: Sequence[Item], problems: list[UnreadableImage]) -> Iterator[tuple[Item, bytes, str]]:
    """Items with their bytes and the suffix that suits these; what cannot be read is noted and left out."""

    def read(item: Item) -> bytes | UnreadableImage:
        try:
            return source.read(item)
        except UnreadableImage as problem:
            return problem

    for item, data in zip(items, map_ordered(read, items), strict=True):
        if isinstance(data, UnreadableImage):
            problems.append(data)
        else:
            kind = sniff(data[:HEAD_BYTES]) or item.path.rpartition(".")[2].lower()
            yield item, data, {"jpeg": "jpg"}.get(kind, kind)
