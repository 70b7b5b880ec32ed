"""CSV tables as people write them, and the rows that cannot be meant so."""

import os
from pathlib import Path

import pytest
from tests.made_trees import check_error, check_pictures, content, write

from fovea.data import open_source
from fovea.errors import DataError, UnreadableImage


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


@pytest.mark.parametrize("other", ["./p/0.jpg", "p/./0.jpg", "p//0.jpg", "p/../p/0.jpg", ".\\p\\0.jpg", "{folder}/p/0.jpg"])
def test_one_picture_in_two_spellings_is_one_picture(tmp_path: Path, other: str) -> None:
    other = other.format(folder=tmp_path)
    path = table(tmp_path, f"path,label\np/0.jpg,a\n{other},a\n../{tmp_path.name}x/0.jpg,b\np/1.jpg,b\np/2.jpg,a")
    assert [item.path for item in open_source(path).items] == [f"../{tmp_path.name}x/0.jpg", "p/0.jpg", "p/1.jpg", "p/2.jpg"]
    with pytest.raises(DataError) as caught:
        open_source(table(tmp_path, f"path,label\np/0.jpg,a\n{other},b"))
    check_error(caught.value, "row 3", "contradicts row 2", str(path))


@pytest.mark.parametrize("text", ["", "\n\n", "file,class\n1,2\n", "p/0.jpg,a\n", "path,label\n", "path\np/0.jpg\n"])
def test_a_table_without_its_columns_or_rows_is_named(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError) as caught:
        open_source(path)
    check_error(caught.value, str(path))
