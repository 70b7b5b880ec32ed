"""What an audit leads to: a cleaned copy of the data, a table of what is left, a small balanced part. The originals are never touched."""

import csv
import io
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fovea.audit.audit import Audit
from fovea.audit.finding import Seen
from fovea.audit.near import families
from fovea.data import Source, assign_splits
from fovea.data.kinds import class_name
from fovea.data.sniff import has_picture_suffix
from fovea.errors import InputError, OutputError, writing
from fovea.files import check_outside, hash_bytes, write_atomic
from fovea.loading.parallel import chunks, map_ordered
from fovea.progress import Progress
from fovea.types import Split

_TURN = 32  # files a turn of a thread


@dataclass(frozen=True)
class Written:
    """What was written: where, and how many pictures of each class and, where there are splits, of each split."""

    path: Path
    num_pictures: int
    num_left_out: int
    by_class: dict[str, int]
    by_split: dict[str, int]


def check_target(target: str, source: Source) -> Path:
    """Whether a cleaned copy may be written there, before any work is done for it.

    Raises:
        OutputError: Something stands there already, or it lies within the originals.
        InputError: A table was asked for of pictures that lie in no folder.
    """
    path = Path(target)
    if _is_table(path):
        if path.exists():
            raise OutputError(
                f"{target!r} exists already",
                got="a file of that name",
                expected="a new name, since a table may be the only record of its labels",
                fix="choose another name, or remove the file",
            )
        if source.items and source.file(source.items[0]) is None:
            raise InputError(
                f"a table cannot name the pictures of {source.location!r}: they lie in no folder",
                got="an archive, or pictures that are made when they are read",
                expected="pictures in a folder, or a folder to copy them to",
                fix=f"give the name of a folder: --apply {path.stem}",
            )
        return path
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(
            f"{target!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another name, or empty the folder"
        )
    check_outside(path, source.location)
    return path


def write_clean(target: Path, source: Source, seen: Seen, audit: Audit, *, seed: int) -> Written:
    """A copy of the pictures that the audit leaves (in class folders, within folders of their splits), or a table of them.

    A table (`path,label,split` and, where there are any, `group`) has the splits of the data, or those that a training would
    make, with all versions of a picture on one side.
    """
    rows = [row for row in seen.rows if row not in audit.removed and seen.items[row].label is not None]
    _check_some(rows, source)
    left_out = len(seen.items) - len(rows)
    if not _is_table(target):
        return _write_folder(target, source, seen, rows, left_out)
    splits = _splits(seen, rows, seed)
    _write_table(target, source, seen, rows, splits)
    return Written(target, len(rows), left_out, _count(seen, rows), dict(Counter(splits)))


def write_subset(target: Path, source: Source, seen: Seen, audit: Audit, *, size: int, seed: int) -> Written:
    """Copies `size` pictures, as many of each class, to class folders (within folders of their splits, in the splits' shares).

    Drawn by the seed and the content of the files alone, from pictures without a fault; of several versions of a picture one.

    Raises:
        InputError: There are more classes than pictures are asked for.
    """
    family_of = {content: number for number, family in enumerate(families(seen.near)) for content in family}
    suspected = {suspect.row for suspect in seen.suspects or ()}
    ranked = sorted(
        (row for row in seen.rows if row not in audit.removed and row not in suspected and seen.items[row].label is not None),
        key=lambda row: (hash_bytes("subset", str(seed), seen.hashes[row]), seen.path(row)),
    )
    taken: set[object] = set()
    free: dict[tuple[str, str], list[int]] = {}
    for row in ranked:
        picture: object = family_of.get(seen.hashes[row], seen.hashes[row])
        if picture not in taken:
            taken.add(picture)
            free.setdefault((seen.items[row].split or "", seen.items[row].label or ""), []).append(row)
    _check_some(ranked, source)
    num_classes = len({label for _, label in free})
    if size < num_classes:
        raise InputError(
            f"--subset {size:,} is fewer than one picture of each class",
            got=f"{size:,} pictures, {num_classes:,} classes",
            expected=f"{num_classes:,} or more",
            fix="ask for more pictures",
        )
    in_split: Counter[str] = Counter()
    for (split, _), pictures in free.items():
        in_split[split] += len(pictures)
    rows = []
    for split, share in _shares(in_split, size).items():
        classes = {label: pictures for (other, label), pictures in sorted(free.items()) if other == split}
        counts = _level({label: len(pictures) for label, pictures in classes.items()}, share)
        rows += [row for label, pictures in classes.items() for row in pictures[: counts[label]]]
    return _write_folder(target, source, seen, sorted(rows), len(seen.items) - len(rows))


def _shares(sizes: Counter[str], total: int) -> dict[str, int]:
    """`total` dealt out in proportion to `sizes`, by largest remainders; at most as many as there are."""
    total = min(total, sizes.total())
    exact = {name: total * size / sizes.total() for name, size in sizes.items()}
    shares = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: (shares[name] - exact[name], name))[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def _level(sizes: dict[str, int], total: int) -> dict[str, int]:
    """`total` dealt out as evenly as the sizes allow; what a small class cannot give, the others do."""
    counts = dict.fromkeys(sizes, 0)
    total = min(total, sum(sizes.values()))
    while total:
        open_names = [name for name in sizes if counts[name] < sizes[name]]
        each = max(1, total // len(open_names))
        for name in open_names:
            more = min(each, sizes[name] - counts[name], total)
            counts[name] += more
            total -= more
    return counts


def _splits(seen: Seen, rows: Sequence[int], seed: int) -> list[Split]:
    place = {row: number for number, row in enumerate(rows)}
    together = [
        [place[row] for content in family for row in seen.rows_of.get(content, ()) if row in place] for family in families(seen.near)
    ]
    return assign_splits([seen.items[row] for row in rows], [seen.hashes[row] for row in rows], seed=seed, together=together)


def _write_table(target: Path, source: Source, seen: Seen, rows: Sequence[int], splits: Sequence[Split]) -> None:
    groups = any(seen.items[row].group is not None for row in rows)
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "label", "split", *(["group"] if groups else [])])
    for row, split in zip(rows, splits, strict=True):
        item = seen.items[row]
        table.writerow([_from(target.parent, source.file(item) or item.path), item.label, split, *([item.group or ""] if groups else [])])
    # bytes of names that are not UTF-8 stay as they are: the table is read to find these files
    write_atomic(target, text.getvalue().encode("utf-8", "surrogateescape"))


def _from(folder: Path, file: str) -> str:
    """The path of a file as a table in `folder` names it, with "/" between its parts."""
    try:
        path = os.path.relpath(os.path.realpath(os.path.dirname(file)), os.path.realpath(folder))
    except ValueError:  # another drive
        return file.replace(os.sep, "/")
    return os.path.join(path, os.path.basename(file)).replace(os.sep, "/").removeprefix("./")


def _write_folder(target: Path, source: Source, seen: Seen, rows: Sequence[int], left_out: int) -> Written:
    """Whole or not at all: the folder is filled under another name beside its place."""
    names = _file_names(seen, rows)

    def copy(turn: range) -> int:
        for place in turn:
            file = part / names[place]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read(seen.items[rows[place]]))
        return len(turn)

    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent))
        try:
            with Progress("copying pictures", total=len(rows)) as bar:
                for done in map_ordered(copy, chunks(len(rows), _TURN)):
                    bar.advance(done)
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o777 & ~umask)  # mkdtemp makes private folders; a result is an ordinary one
            if target.exists():
                target.rmdir()  # it is empty
            os.replace(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return Written(
        target, len(rows), left_out, _count(seen, rows), dict(Counter(split for row in rows if (split := seen.items[row].split)))
    )


def _file_names(seen: Seen, rows: Sequence[int]) -> list[str]:
    """Where each picture goes: SPLIT/CLASS/... or CLASS/..., no two alike, each with a suffix by which it is found again."""
    with_splits = any(seen.items[row].split for row in rows)
    names, taken = [], set()
    for row in rows:
        item = seen.items[row]
        label = item.label or ""
        _, found, within = f"/{class_name(item.path)}".rpartition(f"/{label}/")  # as labels are spelt; names of files stay as they are
        there = item.path.split("/")
        inner = there[-1 - within.count("/") :] if found else there[-1:]
        folder = there[-1 - len(inner)] if found and "/" not in label else label
        parts = [_safe(part) for part in (folder, *inner)]
        if has_picture_suffix(parts[-1]) is not True:
            parts[-1] += f".{seen.fact(row).format}"
        path = Path(*([item.split or "train"] if with_splits else []), *parts)
        name, number = path, 2
        while str(name).lower() in taken:  # lower: two names that differ in case only are one on many systems
            name, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
        taken.add(str(name).lower())
        names.append(str(name))
    return names


def _safe(part: str) -> str:
    """A class or file name as one that every system takes, and that is neither hidden nor leads elsewhere."""
    part = re.sub(r'[\x00-\x1f<>:"/\\|?*%]', lambda match: f"%{ord(match[0]):02X}", part)
    return re.sub(r"^\.|[. ]$", lambda match: f"%{ord(match[0]):02X}", part) or "%00"


def _count(seen: Seen, rows: Sequence[int]) -> dict[str, int]:
    return dict(sorted(Counter(seen.items[row].label or "" for row in rows).items()))


def _check_some(rows: Sequence[int], source: Source) -> None:
    if not rows:
        raise InputError(
            f"nothing is left of {source.location!r} to write",
            got="no labelled picture without a fault",
            expected="at least one",
            fix="mend what `fovea audit` names, or add pictures",
        )


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"
