"""Each kind of finding on what it must find and on what it must leave alone; and what all of them owe to audit.json."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.painted import facts_of, photo

from fovea.audit import FINDINGS, Audit, Seen, examine
from fovea.audit.finding import LEVELS, Suspect
from fovea.audit.near import Pair
from fovea.errors import UnreadableImage
from fovea.types import Item, PictureFacts

PLAIN = facts_of(photo(0, width=320, height=240))


def look(rows: Sequence[tuple[Item, str, PictureFacts | None]], **more: object) -> Audit:
    """An audit of items, each with its content hash and facts; without facts it cannot be read."""
    problems = {
        row: UnreadableImage(f"{item.path!r} is cut off", got="", expected="", fix="copy it again")
        for row, (item, _, fact) in enumerate(rows)
        if fact is None
    }
    facts = {content: fact for _, content, fact in rows if fact is not None}
    return examine(Seen([item for item, _, _ in rows], [content for _, content, _ in rows], problems, facts, **more))  # type: ignore[arg-type]


def plain(count: int, **changed: object) -> list[tuple[Item, str, PictureFacts | None]]:
    """Pictures with nothing wrong, of two classes in turn."""
    return [(Item(f"{'ab'[i % 2]}/{i:03}.jpg", "ab"[i % 2]), f"c{i:03}", replace(PLAIN, **changed)) for i in range(count)]  # type: ignore[arg-type]


def paths(audit: Audit, kind: str) -> list[str]:
    """The first path of each fault of a kind."""
    found: list[Any] = [fault.json for fault in audit.findings[kind].faults]
    firsts = [entry[0] if isinstance(entry, list) else entry for entry in found]
    return [first["path"] if isinstance(first, dict) else first for first in firsts]


def test_every_kind_is_there_and_says_what_it_means() -> None:
    assert len(FINDINGS) >= 18
    orders = [entry.info.order for entry in FINDINGS]
    assert len(set(orders)) == len(orders), "the order on the page is the same everywhere"
    for entry in FINDINGS:
        info = entry.info
        assert info.level in LEVELS
        assert "{n}" in info.many
        assert info.one[0].isupper() or info.one[0].isdigit()
        assert info.meaning.endswith(".")
        assert info.fix
        assert not info.fix.endswith(".")
        assert entry.build.__doc__


def test_nothing_wrong_is_nothing_found() -> None:
    audit = look(plain(60))
    assert {kind: len(finding.faults) for kind, finding in audit.findings.items() if finding.faults} == {}
    assert audit.to_json()["findings"] == []


def test_no_pictures_at_all() -> None:
    assert all(not finding.faults for finding in look([]).findings.values())
    broken = look([(Item("a/1.jpg", "a"), "", None)])
    assert [kind for kind, finding in broken.findings.items() if finding.faults] == ["unreadable"]
    assert broken.to_json()["sides_px"] is None


def test_the_keys_of_audit_json() -> None:
    """What programs read: the keys of the first version keep their form."""
    rows = plain(60)
    rows[0] = (Item("a/broken.jpg", "a"), "", None)
    rows[1] = (Item("b/twice.jpg", "b"), "c002", PLAIN)
    audit = look(rows, ignored=[f"notes{i}.txt" for i in range(1_200)])
    told = json.loads(json.dumps(audit.to_json()))
    assert told["num_items"] == 60
    assert told["num_readable"] == 59
    assert told["unreadable"] == [{"path": "a/broken.jpg", "problem": "'a/broken.jpg' is cut off", "fix": "copy it again"}]
    assert told["duplicates"] == [["b/twice.jpg", "a/002.jpg"]]
    assert told["conflicts"] == [[{"path": "b/twice.jpg", "label": "b"}, {"path": "a/002.jpg", "label": "a"}]]
    assert told["leaks"] == []
    assert (len(told["ignored"]), told["num_ignored"]) == (1_000, 1_200)
    assert told["class_counts"] == {"all": {"a": 29, "b": 30}}
    assert told["formats"] == {"jpeg rgb": 59}
    assert told["sides_px"] == [[320, 320], [240, 240]]
    assert {entry["kind"]: entry["num"] for entry in told["findings"]} == {
        "unreadable": 1,
        "duplicates": 1,
        "conflicts": 1,
        "ignored": 1_200,
    }
    assert set(FINDINGS.names()) <= set(told)
    assert audit.removed == {0: "unreadable", 1: "conflicts", 2: "conflicts"}


def test_of_copies_one_is_kept_in_each_split() -> None:
    rows = plain(40)
    same = [(Item(f"{split}/{i}.jpg", "a", split), "same", PLAIN) for i, split in enumerate(["test", "test", "validation", "train"])]  # type: ignore[arg-type]
    audit = look([*rows, *same])
    assert paths(audit, "duplicates") == ["test/0.jpg"]
    assert paths(audit, "leaks") == ["train/3.jpg"]
    assert paths(audit, "validation_leaks") == ["validation/2.jpg"]
    assert audit.removed == {41: "duplicates", 43: "leaks"}


def test_leaks_in_another_version() -> None:
    rows = [(Item(f"{split}/{i}.jpg", "a", split), f"{split}{i}", PLAIN) for i in range(3) for split in ("train", "validation", "test")]  # type: ignore[arg-type]
    near = [
        Pair("test0", "train0", 0.97, True),
        Pair("train0", "validation0", 0.99, False),
        Pair("test1", "validation1", 0.9, False),
        Pair("train1", "train2", 0.9, False),
    ]
    audit = look(rows, near=near)
    (leak,) = audit.to_json()["leaks"]
    expected = {"path": "train/0.jpg", "other": "test/0.jpg", "split": "test", "how": "near", "similarity": 0.97, "mirrored": True}
    assert leak == expected, "what stands in test is graver than what stands in validation, however alike"
    assert paths(audit, "validation_leaks") == ["validation/0.jpg", "validation/1.jpg"], "the first through the picture in train"
    assert [entry["paths"] for entry in audit.to_json()["near_duplicates"]] == [["train/1.jpg", "train/2.jpg"]]
    assert list(audit.removed.values()) == ["leaks"]


def test_without_splits_versions_are_no_leak() -> None:
    audit = look(plain(30), near=[Pair("c000", "c002", 0.95, False), Pair("c002", "c004", 0.9, True)])
    assert audit.to_json()["leaks"] == []
    (family,) = audit.to_json()["near_duplicates"]
    assert family == {"paths": ["a/000.jpg", "a/002.jpg", "a/004.jpg"], "similarity": 0.9, "mirrored": True}
    assert audit.removed == {}


def test_versions_under_two_labels() -> None:
    audit = look(plain(30), near=[Pair("c000", "c001", 0.95, False), Pair("c002", "c004", 0.9, False)])
    (conflict,) = audit.to_json()["near_conflicts"]
    assert (conflict["paths"], conflict["labels"]) == (["a/000.jpg", "b/001.jpg"], ["a", "b"])
    assert audit.removed == {}, "which of the two is right, a person has to say"


def test_groups_on_both_sides() -> None:
    # eight pictures a group: the third one begins in train and ends in test
    rows = [(Item(f"{i}.jpg", "ab"[i % 2], ("train", "test")[i // 20], group=f"p{i // 8}"), f"c{i}", PLAIN) for i in range(40)]  # type: ignore[arg-type]
    (fault,) = look(rows).to_json()["split_groups"]
    assert fault["group"] == "p2"
    assert set(fault["splits"]) == {"train", "test"}
    assert look([(replace(item, split=None), content, fact) for item, content, fact in rows]).to_json()["split_groups"] == []


def test_likely_wrong_labels_come_surest_first() -> None:
    audit = look(plain(30), suspects=[Suspect(4, "b", 0.8, 0.1), Suspect(6, "b", 0.99, 0.001)])
    assert paths(audit, "wrong_labels") == ["a/006.jpg", "a/004.jpg"]
    first = audit.to_json()["wrong_labels"][0]
    assert (first["label"], first["suggested"], first["probability"], first["probability_of_label"]) == ("a", "b", 0.99, 0.001)
    assert "looks like b" in first["problem"]
    assert audit.removed == {}


def test_rare_classes() -> None:
    rows = plain(100) + [(Item(f"c/{i}.jpg", "c"), f"x{i}", PLAIN) for i in range(12)]
    (rare,) = look(rows).to_json()["imbalance"]
    assert (rare["label"], rare["n"], rare["n_of_largest"]) == ("c", 12, 50)
    assert "8 pictures" in rare["fix"]
    assert look(plain(60) + [(Item(f"c/{i}.jpg", "c"), f"x{i}", PLAIN) for i in range(20)]).to_json()["imbalance"] == []


@pytest.mark.parametrize(
    ("kind", "odd", "fine"),
    [
        ("odd_sizes", {"width_px": 60, "height_px": 40}, {"width_px": 200, "height_px": 150}),
        ("odd_sizes", {"width_px": 4000, "height_px": 3000}, {"width_px": 640, "height_px": 480}),
        ("extreme_aspect", {"width_px": 900, "height_px": 200}, {"width_px": 500, "height_px": 200}),
        ("grey", {"colourfulness": 3}, {"colourfulness": 30}),
        ("rotated", {"orientation": 6}, {"orientation": 1}),
        ("one_colour", {"colour_spread": 1.0}, {"colour_spread": 12.0}),
        ("blurred", {"sharpness": 0.5}, {"sharpness": 1.1}),
    ],
)
def test_odd_pictures(kind: str, odd: dict[str, object], fine: dict[str, object]) -> None:
    rows = plain(60)
    rows[10] = (rows[10][0], "odd", replace(PLAIN, **odd))  # type: ignore[arg-type]
    rows[20] = (rows[20][0], "fine", replace(PLAIN, **fine))  # type: ignore[arg-type]
    audit = look(rows)
    assert paths(audit, kind) == ["a/010.jpg"]
    assert audit.removed == {}


@pytest.mark.parametrize(
    ("kind", "usual"),
    [
        ("odd_sizes", {"width_px": 28, "height_px": 28}),
        ("extreme_aspect", {"width_px": 1000, "height_px": 200}),
        ("grey", {"colourfulness": 0}),
        ("blurred", {"sharpness": 0.6}),
    ],
)
def test_what_all_of_the_data_are_is_not_odd(kind: str, usual: dict[str, object]) -> None:
    assert look(plain(60, **usual)).findings[kind].faults == ()


def shortcut_rows(values: Sequence[dict[str, object]], labels: Sequence[str]) -> list[tuple[Item, str, PictureFacts | None]]:
    rng = np.random.default_rng(0)
    base = {"width_px": 320, "height_px": 240}
    return [
        (
            Item(f"{i}.jpg", label),
            f"c{i}",
            replace(
                PLAIN,
                sharpness=float(rng.uniform(1, 3)),
                border=tuple(int(v) for v in rng.integers(0, 256, 3)),
                **(base | value),  # type: ignore[arg-type]
            ),
        )
        for i, (value, label) in enumerate(zip(values, labels, strict=True))
    ]


@pytest.mark.parametrize(
    ("what", "here", "there"),
    [
        ("file format", {"format": "png"}, {"format": "jpeg"}),
        ("camera", {"camera": "Canon EOS 80D"}, {"camera": ""}),
        ("exact size", {"width_px": 321, "height_px": 240}, {}),
        ("size", {"width_px": 640, "height_px": 480}, {}),
        ("aspect", {"width_px": 240, "height_px": 320}, {}),
        ("brightness of the border", {"border": (240, 240, 240)}, {"border": (20, 20, 20)}),
    ],
)
def test_a_shortcut_is_found(what: str, here: dict[str, object], there: dict[str, object]) -> None:
    """Nine in ten pictures of one class have it, and one in ten of the other."""
    rng = np.random.default_rng(1)
    labels = [("cat", "dog")[i % 2] for i in range(300)]
    values = []
    for label in labels:
        has = (rng.random() < 0.9) == (label == "cat")
        values.append(here if has else there)
    rows = shortcut_rows([{key: v for key, v in value.items() if key != "border"} for value in values], labels)
    if "border" in here:
        rows = [(item, content, replace(fact, border=value["border"])) for (item, content, fact), value in zip(rows, values, strict=True)]  # type: ignore[arg-type, type-var]
    found = {entry["what"]: entry for entry in look(rows).to_json()["shortcuts"]}
    assert what in found
    entry = found[what]
    assert 0.7 < entry["cramers_v"] < 0.9, "0.8 by construction"
    assert entry["p_value"] < 1e-6
    assert 0.85 < entry["guessed"] < 0.95
    assert entry["chance"] == 0.5
    assert sum(sum(value["counts"].values()) for value in entry["values"]) == 300


def test_chance_is_no_shortcut() -> None:
    """200 data sets in which nothing has to do with the class: none is accused, whatever is asked of them."""
    rng = np.random.default_rng(2)
    accused = 0
    for _ in range(200):
        count, classes = int(rng.integers(40, 200)), int(rng.integers(2, 12))
        values = [
            {
                "format": ["jpeg", "png"][int(rng.random() < 0.3)],
                "camera": f"camera {rng.integers(0, 6)}",
                "width_px": int(rng.integers(100, 900)),
                "height_px": int(rng.integers(100, 900)),
            }
            for _ in range(count)
        ]
        accused += bool(look(shortcut_rows(values, [f"k{rng.integers(0, classes)}" for _ in range(count)])).findings["shortcuts"].faults)
    assert accused == 0


def test_copies_prove_no_shortcut() -> None:
    """Equal files count once: one picture that stands there 100 times says nothing of a class."""
    rows = shortcut_rows([{} for _ in range(40)], [("cat", "dog")[i % 2] for i in range(40)])
    copies = [(Item(f"copy{i}.png", "cat"), "same", replace(PLAIN, format="png")) for i in range(100)]
    assert look([*rows, *copies]).findings["shortcuts"].faults == ()


def test_an_addition_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding from outside, in a file of its own, is asked like ours and told like ours."""
    from fovea.audit import findings

    (tmp_path / "dark.py").write_text(
        "from fovea.audit import FINDINGS, Fault, FindingInfo\n"
        "@FINDINGS.add(FindingInfo(order=99, level='note', one='1 is dark', many='{n} are dark', meaning='Dark.', fix='light it'))\n"
        "def dark(seen):\n"
        "    '''Dark pictures.'''\n"
        "    return [Fault((row,), 'is dark', {'path': seen.path(row)}) for row in seen.rows if max(seen.fact(row).border) < 5]\n"
    )
    monkeypatch.setattr(findings, "__path__", [*findings.__path__, str(tmp_path)])
    monkeypatch.setattr(FINDINGS, "_entries", dict(FINDINGS._entries))
    monkeypatch.setattr(FINDINGS, "_scanned", False)
    rows = plain(30)
    rows[3] = (rows[3][0], "dark", replace(PLAIN, border=(1, 2, 3)))
    audit = look(rows)
    assert audit.to_json()["dark"] == [{"path": "b/003.jpg"}]
    assert list(audit.findings)[-1] == "dark"
