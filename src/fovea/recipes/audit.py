"""Look at data before anything is learned from it."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fovea import __version__
from fovea.audit import Audit, Finding, Seen, examine
from fovea.audit.cleaned import Written, check_target, write_clean, write_subset
from fovea.audit.finding import LEVELS
from fovea.audit.known import near_pairs
from fovea.audit.labels import needs_cleanlab, spaces_at_hand, suspects
from fovea.audit.scenes import without_scenes
from fovea.data import Source, group_by_path, open_source
from fovea.embeddings.store import EmbeddingStore, Space
from fovea.errors import InputError
from fovea.files import printable, ready_folder, write_json
from fovea.loading.pictures import CHECK_SIDE_PX, check_pictures
from fovea.loading.scan import scan
from fovea.recipes._pictures import thumbnail
from fovea.recipes._results import command_line
from fovea.report.audit_page import write_audit_page
from fovea.types import Item

_MOST_TOLD = {"fault": 10, "doubt": 5, "note": 3}  # faults of a kind in the text


@dataclass(frozen=True)
class AuditResult:
    """What was found, and where it was written.

    Args:
        audit: What was found.
        paths: Of all pictures, by their number in the data.
        out: The folder with audit.json and audit.html, or None.
        applied, subset: The cleaned copy and the small part that were written, or None.
    """

    audit: Audit
    paths: tuple[str, ...]
    out: Path | None
    applied: Written | None = None
    subset: Written | None = None

    def to_json(self) -> dict[str, Any]:
        written = {"applied": self.applied, "subset": self.subset}
        told = {
            name: {
                "path": str(w.path),
                "num_pictures": w.num_pictures,
                "num_left_out": w.num_left_out,
                "by_class": w.by_class,
                "by_split": w.by_split,
            }
            for name, w in written.items()
            if w is not None
        }
        return self.audit.to_json() | told | ({"out": str(self.out)} if self.out else {})

    def to_text(self) -> str:
        found = self.audit
        lines = [f"{found.num_items - found.num_unreadable:,} of {found.num_items:,} pictures can be read"]
        for level, words in LEVELS.items():
            findings = [finding for finding in found.findings.values() if finding.faults and finding.info.level == level]
            if findings:
                lines += ["", f"{words}:"]
            for finding in findings:
                lines += self._told(finding)
        if not any(finding.faults for finding in found.findings.values()):
            lines.append("nothing else was found")
        if found.notes or self.applied or self.subset or self.out:
            lines.append("")
        lines += [f"note: {note}" for note in found.notes]
        if self.applied:
            lines.append(f"{self.applied.num_pictures:,} pictures in {self.applied.path}, {self.applied.num_left_out:,} left out")
        if self.subset:
            counts = ", ".join(f"{count:,} {label}" for label, count in list(self.subset.by_class.items())[:10])
            more = f" and {len(self.subset.by_class) - 10:,} more classes" if len(self.subset.by_class) > 10 else ""
            lines.append(f"{self.subset.num_pictures:,} pictures in {self.subset.path}: {counts}{more}")
        if self.out:
            lines.append(f"all of it, with thumbnails: {self.out / 'audit.html'}; for programs: {self.out / 'audit.json'}")
        elif not self.subset and any(finding.faults for finding in found.findings.values()):
            lines += ["", "--out DIR writes all of it as a page with thumbnails; --apply DIR writes a cleaned copy"]
        return printable("\n".join(lines))

    def _told(self, finding: Finding) -> list[str]:
        lines = [f"  {finding.headline}"]
        most = _MOST_TOLD[finding.info.level]
        for fault in finding.faults[:most]:
            lines.append(f"    {self.paths[fault.rows[0]] + ' ' if fault.rows and finding.kind != 'shortcuts' else ''}{fault.problem}")
        if len(finding.faults) > most:
            lines.append(f"    ... and {len(finding.faults) - most:,} more")
        return [*lines, f"    -> {finding.info.fix}"]


def audit(
    data: str,
    *,
    out: str | None = None,
    apply: str | None = None,
    subset: int | None = None,
    labels: bool = False,
    backbone: str = "auto",
    weights: str = "auto",
    split_by: str | None = None,
    seed: int = 0,
) -> AuditResult:
    """Find broken files, copies (also resized, cropped or mirrored), pictures that stand in two splits, wrong labels and more.

    What takes long is kept in the cache: a second audit of the same pictures takes seconds. Near duplicates are also looked for
    among neighbours by embedding, and labels are judged, where a training has embedded these pictures before, or with --labels.

    Args:
        data: As for `fovea train`.
        out: A folder to write audit.json to, and audit.html, a page with thumbnails.
        apply: Write a cleaned copy of the data to this folder, or a table of what is left to this .csv file. Broken files,
            spare copies and contradictions are left out, leaks are taken out of train. The originals are never touched.
        subset: Copy so many pictures, as many of each class, to the folder --out, in place of the page.
        labels: Look for wrong labels even where every picture has to be embedded first (needs the package cleanlab).
        backbone: What embeds them: a name from `fovea models`, or "auto".
        weights: Its weights, as for `fovea train`.
        split_by: A regular expression whose first group, in a picture's path, names what must stand in one split only.
        seed: Draws the subset, and the splits of data of fewer than 200 pictures; of built-in data, the data.

    Returns:
        What was found.
    """
    if subset is not None and (out is None or subset < 1):
        raise InputError(
            "--subset needs the number of pictures, and with --out the folder to copy them to",
            got=f"--subset {subset}" + ("" if out else ", and no --out"),
            expected="a number above 0, and a folder",
            fix="fovea audit DATA --subset 1000 --out DIR",
        )
    if labels and (missing := needs_cleanlab()) is not None:
        raise missing
    with open_source(data, seed=seed, for_training=False) as source, EmbeddingStore() as store:
        if (apply or subset) and not source.kind.exclusive:
            raise InputError(
                f"a cleaned copy or a part of {source.location!r} cannot be written as class folders",
                got=f"pictures with {source.kind.name}",
                expected="pictures of one class each",
                fix="audit without --apply and --subset, and remove the rows that it names from the table",
            )
        applied_to = check_target(apply, source) if apply else None
        subset_to = check_target(str(out), source) if subset else None
        folder = ready_folder(out) if out and not subset else None
        seen, notes = _look(source, store, labels=labels, backbone=backbone, weights=weights, split_by=split_by, seed=seed)
        found = examine(seen, notes=notes)
        if folder:
            write_json(folder / "audit.json", found.to_json())
            write_audit_page(
                folder / "audit.html",
                found,
                title=f"{Path(source.location).name or source.location}: {source.kind.count(source.class_names)}",
                command=command_line("audit", data, out=out, apply=apply, labels=labels, split_by=split_by, seed=seed or None),
                place=lambda row: (seen.path(row), seen.items[row].label, seen.items[row].split),
                picture=lambda row: thumbnail(source, seen.items[row]),
                version=__version__,
            )
        applied = write_clean(applied_to, source, seen, found, seed=seed) if applied_to else None
        small = write_subset(subset_to, source, seen, found, size=subset, seed=seed) if subset_to and subset else None
    return AuditResult(found, tuple(item.path for item in seen.items), folder, applied, small)


def _look(
    source: Source, store: EmbeddingStore, *, labels: bool, backbone: str, weights: str, split_by: str | None, seed: int
) -> tuple[Seen, list[str]]:
    """Everything that there is to know of the pictures, and notes on what was not looked for."""
    items = list(source.items) if split_by is None else group_by_path(source.items, split_by)
    scanned = scan(source, items)
    # Embedding decodes every picture whole and keeps its facts, so that nothing is decoded twice.
    spaces = [_embed(source, store, items, scanned.hashes, backbone, weights, seed)] if labels else []
    known = store.get_facts(scanned.hashes, min_side_px=CHECK_SIDE_PX)
    facts, problems = check_pictures(source, items, scanned.hashes, known=known, keep=store.put_facts)
    spaces = spaces or spaces_at_hand(store, list(facts))
    labels_of = {
        content: None if source.kind.graded else item.label for item, content in zip(items, scanned.hashes, strict=True) if content in facts
    }
    pairs, scenes = without_scenes(near_pairs(store, facts, space=spaces[0] if spaces else None), labels_of)
    seen = Seen(
        items, scanned.hashes, {**scanned.problems, **problems}, facts, ignored=source.ignored, near=pairs, scenes=scenes, kind=source.kind
    )
    if not source.kind.exclusive:
        return seen, ["wrong labels were not looked for: that takes pictures of one class each"]
    if not spaces:
        again = shlex.join(["fovea", "audit", source.location, "--labels"])
        return seen, [f"wrong labels were not looked for, since these pictures have no embeddings yet: `{again}` makes them"]
    if (missing := needs_cleanlab()) is not None:
        return seen, [f"wrong labels were not looked for: that needs cleanlab, `{missing.fix}`"]
    doubted, notes = suspects(seen, store, spaces)
    return replace(seen, suspects=doubted), notes


def _embed(
    source: Source, store: EmbeddingStore, items: list[Item], hashes: tuple[str, ...], backbone: str, weights: str, seed: int
) -> Space:
    """Embeds every picture that is not in the store yet; gives the space in which they are then."""
    from fovea.embeddings.extract import embed
    from fovea.selection.choose import choose
    from fovea.training.settings import checked
    from fovea.training.strategies.probe import Probe

    plan = choose(checked(data=source.location, strategy="probe", backbone=backbone, weights=weights, seed=seed), source)
    embedder = Probe(plan).embedder
    embed(source, items, hashes, embedder=embedder, store=store)
    return embedder.space
