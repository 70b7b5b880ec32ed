"""Look at data before anything is learned from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.audit import Audit, examine
from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.files import printable, ready_folder, write_json
from fovea.loading.pictures import check_pictures
from fovea.loading.scan import scan


@dataclass(frozen=True)
class AuditResult:
    """What was found, and where it was written."""

    audit: Audit
    out: Path | None

    def to_json(self) -> dict[str, Any]:
        return self.audit.to_json() | ({"out": str(self.out)} if self.out else {})

    def to_text(self) -> str:
        found = self.audit
        lines = [f"{found.num_items - len(found.unreadable):,} of {found.num_items:,} pictures can be read"]
        lines += [f"  not readable: {problem.problem} ({problem.fix})" for problem in found.unreadable]
        lines.append(f"{len(found.duplicates):,} contents stand there more than once, byte for byte")
        lines += [f"  equal: {', '.join(paths)}" for paths in found.duplicates[:20]]
        lines += [f"  two labels for one picture: {', '.join(f'{path} ({label})' for path, label in equal)}" for equal in found.conflicts]
        lines += [f"  leaks into {split}: {path} is {other}" for path, other, split in found.leaks]
        if found.num_ignored:
            lines.append(f"{found.num_ignored:,} other files were passed over")
        if self.out:
            lines.append(f"written to {self.out / 'audit.json'}")
        return printable("\n".join(lines))


def audit(data: str, *, out: str | None = None, seed: int = 0) -> AuditResult:
    """Find broken files, equal files, and test pictures that stand in the training data too.

    Args:
        data: As for `fovea train`.
        out: A folder to write audit.json to.
        seed: Of the built-in data that is drawn by chance.

    Returns:
        What was found.
    """
    folder = ready_folder(out) if out else None
    with open_source(data, seed=seed, for_training=False) as source, EmbeddingStore() as store:
        seen = scan(source)
        facts, problems = check_pictures(source, seen.items, seen.hashes, known=store.get_facts(seen.hashes))
        store.put_facts(facts)
        found = examine(seen.items, seen.hashes, {**seen.problems, **problems}, facts, ignored=source.ignored)
    if folder:
        write_json(folder / "audit.json", found.to_json())
    return AuditResult(found, folder)
