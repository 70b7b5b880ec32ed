"""Tables with several labels, or with numbers, for each picture."""

from collections import Counter
from pathlib import Path

import pytest
from tests.made_trees import write

from fovea.data import assign_folds, assign_splits, open_source
from fovea.data.kinds import Labels, Numbers
from fovea.errors import DataError
from fovea.selection.choose import choose, choose_task
from fovea.training.settings import TrainSettings
from fovea.types import Item


def table(folder: Path, header: str, cells: list[str], *, mark: str = ",") -> Path:
    write(folder, *(f"p/{n}.jpg" for n in range(len(cells))))
    path = folder / "table.csv"
    path.write_text("\n".join([header, *(f"p/{n}.jpg{mark}{cell}" for n, cell in enumerate(cells))]) + "\n", encoding="utf-8")
    return path


def test_a_table_of_labels(tmp_path):
    source = open_source(table(tmp_path, "path,labels", ["red;round", " round ; red", "", "red", "round;;round"]))
    assert [item.label for item in source.items] == ["red;round", "red;round", "", "red", "round"]
    assert (source.class_names, source.kind.name, choose_task("auto", source)) == (("red", "round"), "labels", "multi_label")


def test_labels_between_semicolons_stand_in_quotes(tmp_path):
    source = open_source(table(tmp_path, "path;labels", ['"red;round"', "red", '"round"', ""], mark=";"))
    assert [item.label for item in source.items] == ["red;round", "red", "round", ""]


@pytest.mark.parametrize(
    ("header", "cells", "names", "labels"),
    [
        ("path,target", ["1", "2.50", "-3e2"], ("target",), ["1", "2.5", "-300"]),
        ("path,Target:Age", ["1", "2", "3"], ("Age",), ["1", "2", "3"]),
        ("path,target:w,target:h", ["1,10", "2,20", "3,30"], ("h", "w"), ["10;1", "20;2", "30;3"]),
    ],
)
def test_a_table_of_numbers(tmp_path, header, cells, names, labels):
    source = open_source(table(tmp_path, header, cells))
    assert ([item.label for item in source.items], source.class_names) == (labels, names)
    assert (source.kind.name, choose_task("auto", source)) == ("numbers", "regression")


def test_a_column_label_counts_first(tmp_path):
    source = open_source(table(tmp_path, "path,label,labels,target", ["a,x,1", "a,y,2", "b,x,3", "b,y,4"]))
    assert (source.kind.name, source.class_names) == ("classes", ("a", "b"))
    (note,) = choose(TrainSettings(data="x", strategy="scratch", backbone="convnet"), source).notes[:1]
    assert "'label' was taken, and 'labels', 'target' left aside" in note
    assert "remove or rename the column 'label'" in note
    assert not open_source(table(tmp_path, "path,label,split", ["a,", "b,", "a,", "b,"])).notes


@pytest.mark.parametrize(
    ("header", "cells", "problem", "got"),
    [
        ("path,target", ["1", "red", "3"], "row 3 of {} has a target 'target' that is not a number: 'red'", "'red'"),
        ("path,target", ["1", '"3,5"', "3"], "row 3 of {} has a target 'target' that is not a number: '3,5'", "'3,5'"),
        ("path,target", ["1", "nan", "3"], "row 3 of {} has a target 'target' that is not finite: 'nan'", "'nan'"),
        ("path,target:a,target:b", ["1,2", "1,inf"], "row 3 of {} has a target 'b' that is not finite: 'inf'", "'inf'"),
        ("path,target:a,target:b", ["1,2", "1"], "row 3 of {} has no target 'b'", "['p/1.jpg', '1']"),
        ("path,target", ["1", ""], "row 3 of {} has no target 'target'", "['p/1.jpg', '']"),
        ("path,target:a,target:a", ["1,2", "3,4"], "{} has two columns for the target 'a'", "path, target:a, target:a"),
        ("path,target", ["7", "7.0", "7"], "all training pictures of {} have the same 'target'", "7 on 3 pictures"),
        ("path,target", ["7"], "{} holds one picture only", "1 pictures that can be read"),
        ("path,labels", ["", "", ""], "{} has no label on any picture", "3 pictures, all without labels"),
        ("path,labels", ["a", "a;b", "a;b"], "every picture of {} has the label 'a'", "3 pictures, all of them with 'a'"),
        ("path,labels", ["a", "a;b", ""], "{} holds only one picture with the label 'b'", "1 picture with 'b' that can be read"),
        ("path,labels,split", ["a,train", ",train", "a;b,test", "b,test"], "{} has no training pictures with the label 'b'", "'b' in validation or test, and not in train"),
        ("path,split,labels", ["train,a", "train"], "row 3 of {} ends before its labels", "['p/1.jpg', 'train']"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_meant_so(tmp_path, header, cells, problem, got):
    path = table(tmp_path, header, cells)
    with pytest.raises(DataError) as caught:
        open_source(path)
    assert (caught.value.problem, str(caught.value.got)) == (problem.format(repr(str(path))), got)


@pytest.mark.parametrize("count", [60, 400])
def test_labels_and_ranges_are_spread_over_splits_and_folds(count):
    labels = [";".join(name for name, every in (("a", 2), ("b", 3), ("rare", 20)) if n % every == 0) for n in range(count)]
    numbers = [str((n * 7919) % 1000 / 10) for n in range(count)]
    for kind, given in ((Labels(), labels), (Numbers(), numbers)):
        items = [Item(f"{n:04}.jpg", label) for n, label in enumerate(given)]
        strata = kind.strata(given)
        contents = [f"{n * 2654435761 % 2**32:08x}" for n in range(count)]
        splits = assign_splits(items, contents, seed=0, strata=strata)
        sizes = Counter(splits)
        assert all(abs(sizes[split] / count - share) < 0.06 for split, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)))
        everywhere = {(split, name) for split, names in zip(splits, strata, strict=True) for name in names}
        assert len(everywhere) == 3 * len({name for names in strata for name in names})
        folds = assign_folds(items, contents, num_folds=5, seed=0, strata=strata)
        assert max(Counter(folds).values()) - min(Counter(folds).values()) <= 5
        assert {(fold, name) for fold, names in zip(folds, strata, strict=True) for name in names} >= {
            (fold, name) for fold in range(5) for name in {name for names in strata for name in names} - {"rare"}
        }


def test_parts_of_a_narrow_range_have_names_of_their_own():
    parts = Numbers().strata([f"{2000 + n / 1000}" for n in range(50)])
    assert len(set(parts)) == 5
    assert parts[0] == ("2000.0000 to 2000.0090",)
