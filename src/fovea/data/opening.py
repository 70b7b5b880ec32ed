"""From what the user typed to a source: a built-in name, a folder, a table, or an archive of these."""

import difflib
import glob
import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from fovea.data.archives import open_archive
from fovea.data.shards import is_shard
from fovea.data.sniff import HEAD_BYTES, has_picture_suffix, sniff
from fovea.data.source import SOURCES, Source, TreeSource
from fovea.data.trees import FolderTree, Tree, list_pictures
from fovea.errors import DataError, FoveaError, InputError
from fovea.files import hash_bytes
from fovea.types import Item

TABLE_SUFFIXES = (".csv", ".tsv")
_LAYOUTS = "a folder of class folders, a folder with train/ and validation/ or test/, a CSV, a .zip or .tar of these, an .npz of arrays, shards, or a built-in name"


def open_source(
    data: str | Path, *, seed: int = 0, max_items: int | None = None, for_training: bool = True, labelled: bool = True
) -> Source:
    """Opens labelled pictures.

    A bare name such as "digits" is the built-in data of that name even where a folder of the same name stands here, so
    that one command means one thing everywhere; write "./digits" for the folder. A `Path` that exists is always a path.

    Args:
        data: A folder of class folders; a folder with splits; a CSV (`path,label[,split][,group]`, with
            `labels` or `target` in place of `label` where a picture has several or a number); a zip or tar of any of
            these; a folder, or a pattern such as "shards/train-*.tar", of WebDataset tars or TFRecords; or a built-in name.
        seed: Of what is generated or drawn at random.
        max_items: Keep at most so many pictures, drawn at random, each class and split in its share; the number of scenes
            for generated data; None keeps all.
        for_training: Whether something is to be learned from them; False leaves out the check of their kind (`data.kinds`), which
            refuses for example a single class, a class with one picture, and a class that train lacks.
        labelled: False also takes a folder or an archive of pictures in any order, and needs no classes.

    Raises:
        DataError: The path does not exist, cannot be read, or holds nothing that can be learned from.
        InputError: `max_items` is below 1.
    """
    if max_items is not None and max_items < 1:
        raise InputError(
            f"max_items is {max_items}", got=max_items, expected="1 or more, or None for all", fix="leave it out to keep all pictures"
        )
    location = os.fspath(data)
    generated = [entry.name for entry in SOURCES if entry.info.recognises is None]
    if location in generated and (isinstance(data, str) or not os.path.lexists(data)):
        source = cast(Source, SOURCES[location].build(seed=seed, max_items=max_items))
        if max_items is not None and max_items < len(source.items):
            source.keep(_fewer(source.items, max_items, seed))
        return source
    tree = _open_tree(Path(location).expanduser(), location, generated)
    try:
        source = _read_layout(tree, labelled=labelled)
        if max_items is not None and max_items < len(source.items):
            source.keep(_fewer(source.items, max_items, seed))
        if for_training and labelled:
            source.kind.check(source.items, location=location)
    except BaseException:
        tree.close()
        raise
    return source


def _read_layout(tree: Tree, *, labelled: bool) -> Source:
    """The source that recognises the tree; the plainest layout, class folders, recognises all and says what is missing."""
    layouts = [entry for entry in SOURCES if entry.info.recognises is not None]
    for entry in sorted(layouts, key=lambda entry: entry.info.order):
        if entry.info.recognises is not None and entry.info.recognises(tree):
            if not labelled and entry.name == "class_folders" and (pictures := list_pictures(tree)[0]):
                return TreeSource("pictures", tree, [Item(path, None) for path in sorted(pictures)])
            return cast(Source, entry.build(tree))
    raise DataError(
        f"{tree.location!r} has no known layout", got="files", expected=_LAYOUTS, fix="put the pictures of each class into its own folder"
    )


def _open_tree(path: Path, location: str, generated: Sequence[str]) -> Tree:
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        if is_folder:
            return FolderTree(path, location=location)
        if (archive := open_archive(path, location=location)) is not None:
            return archive
        if path.suffix.lower() in TABLE_SUFFIXES:
            return FolderTree(path.parent, location=location, table=path.name)
        if is_shard(path.name):
            return FolderTree(path.parent, location=location, only=[path.name])
        with open(path, "rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
    except FileNotFoundError as error:
        if files := [file for file in glob.glob(str(path), recursive=True) if os.path.isfile(file)]:
            root = os.path.commonpath([os.path.dirname(file) for file in files])
            return FolderTree(root or ".", location=location, only=[Path(os.path.relpath(file, root or ".")).as_posix() for file in files])
        raise _no_such_path(path, location, generated) from error
    except (OSError, ValueError) as error:
        if isinstance(error, FoveaError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{location!r} cannot be opened: {reason.lower()}", got=reason, expected=_LAYOUTS, fix="check the path and its permissions"
        ) from error
    is_picture = kind is not None or has_picture_suffix(path.name)
    raise DataError(
        f"{location!r} is {'a single picture' if is_picture else 'a file of unknown type'}, where a folder of pictures is due",
        got=f"a file that ends in {path.suffix!r}" if path.suffix else "a file without a suffix",
        expected=_LAYOUTS,
        fix="pass the folder that holds the class folders",
    )


def _no_such_path(path: Path, location: str, generated: Sequence[str]) -> DataError:
    try:
        there = os.listdir(path.parent)
    except OSError:
        there = []
    near = difflib.get_close_matches(location, generated, n=1)
    near += [str(path.parent / name) for name in difflib.get_close_matches(path.name, there, n=2)]
    link = os.path.islink(path)
    return DataError(
        f"{location!r} is a link that leads nowhere" if link else f"{location!r} does not exist",
        got=f"a link to {os.readlink(path)!r}" if link else "no such file or folder",
        expected=_LAYOUTS,
        fix=f"did you mean {' or '.join(map(repr, near))}?"
        if near and not link
        else f"check the path; built-in names are {', '.join(generated)}",
    )


def _fewer(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """`count` items at random, the same for the same seed, each class and split in its share; in their old order."""
    by_kind: dict[tuple[str | None, str | None], list[tuple[str, int]]] = defaultdict(list)
    for index, item in enumerate(items):
        by_kind[item.label, item.split].append((hash_bytes(str(seed), item.path), index))
    ranked = [
        ((rank + 0.5) / len(members), key, index) for members in by_kind.values() for rank, (key, index) in enumerate(sorted(members))
    ]
    return [items[index] for index in sorted(index for _, _, index in sorted(ranked)[:count])]
