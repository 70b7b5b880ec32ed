"""Asks one or several questions and, with --record, writes the answers to RESULTS.md.

    python benchmarks/run.py                        the questions
    python benchmarks/run.py main_job               ask one
    python benchmarks/run.py main_job --pairs 5 --record
    python benchmarks/run.py all --record

Exit codes: 0 every limit holds (or the question was skipped, with the reason printed), 1 a limit is missed, 2 wrong usage.
"""

import argparse
import json
import pkgutil
import shlex
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # this checkout is measured, whatever else is installed
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import benchmarks.questions as folder  # noqa: E402
from benchmarks.harness.child import Failed  # noqa: E402
from benchmarks.harness.figures import Options  # noqa: E402
from benchmarks.harness.places import Skip, shared  # noqa: E402
from benchmarks.harness.record import RESULTS, commit, machine, record, table  # noqa: E402

NAMES = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_"))


def main(words: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description="Measures Fovea; without a name, lists the questions.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a question, several, or all")
    parser.add_argument("--pairs", type=int, metavar="N", help="how often: pairs, rounds, runs or kills (by default as the question needs)")
    parser.add_argument("--record", action="store_true", help="write the answer to benchmarks/RESULTS.md")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--peer-python", metavar="PATH", help="the Python of the peer (by default .venv-peers/NAME, made when missing)")
    asked = parser.parse_args(words)
    unknown = [name for name in asked.names if name not in [*NAMES, "all"]]
    if unknown:
        parser.error(f"there is no question {unknown[0]!r}: it is one of {', '.join(NAMES)}, all")
    if asked.pairs is not None and asked.pairs < 1:
        parser.error("--pairs must be at least 1")
    if not asked.names:
        print("\n\n".join(f"{name}\n  {import_module(f'benchmarks.questions.{name}').ASKS}" for name in NAMES))
        return 0
    names = NAMES if "all" in asked.names else list(dict.fromkeys(asked.names))
    return max(_ask(name, asked, parser) for name in names)


def _ask(name: str, asked: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    question = import_module(f"benchmarks.questions.{name}")
    repeats: int = asked.pairs or question.REPEATS
    if asked.record and repeats < question.REPEATS:
        parser.error(f"a record of {name} needs --pairs {question.REPEATS} at least")
    try:
        for needed in question.NEEDS:
            shared(needed)
        answer = question.measure(Options(repeats, _say, asked.peer_python))
    except Skip as reason:
        _say(f"{name}: skipped: {reason}")
        return 0
    except Failed as error:
        _say(f"{name}: failed: {error}")
        return 1
    if asked.json:
        print(json.dumps({"name": name, **answer.to_json()}))
    else:
        print("\n".join([f"{name} · commit {commit()} · {machine()}", table(answer), *(f"- {note}" for note in answer.notes if note)]))
    if asked.record:
        again = ["python", "benchmarks/run.py", name, *(["--pairs", str(asked.pairs)] if asked.pairs else []), "--record"]
        record(name, question.ASKS, shlex.join(again), answer)
        _say(f"recorded in {RESULTS.relative_to(ROOT)}")
    return 0 if answer.holds else 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
