"""The report of 4,000 photos: how large it is, how long it takes to write, and what a browser, a validator and a screen reader make of it."""

import json
import tempfile
from pathlib import Path

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Limit, Options, count, repeated
from benchmarks.harness.pages import look, needed
from benchmarks.harness.places import PHOTOS, WEIGHTS, main_job

ASKS = (
    "How large is the report of a training on the 4,000 cats and dogs, how long does it take to write, does it ask anybody for anything, is it "
    "valid, and does axe-core find a violation at phone and desktop width, in light and dark?"
)
REPEATS = 3
NEEDS = (PHOTOS, WEIGHTS)

_MOST_MB, _MOST_S = 5.0, 5.0


def measure(options: Options) -> Answer:
    """Trains once, writes the report as often as asked, and looks at it; then at a page that compares two runs.

    Raises:
        Skip: The photos, the weights, Chromium, node or what npm installs is not here.
        Failed: A process did not end well.
    """
    needed()  # before a minute is spent
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        job = main_job(out="run")
        fovea(job.words, cache=folder / "cache", folder=folder)
        within = [json.loads((folder / "run" / "metrics.json").read_text())["timing"]["report_s"]]
        for number in range(1, options.repeats):  # again, with the embeddings at hand
            fovea([*job.words[:-1], f"run{number}"], cache=folder / "cache", folder=folder)
            within.append(json.loads((folder / f"run{number}" / "metrics.json").read_text())["timing"]["report_s"])
        again = [fovea(["report", "run"], cache=folder / "cache", folder=folder).seconds for _ in range(options.repeats)]
        fovea(["report", "run", "--embedding-map", "tsne", "--out", "tsne.html"], cache=folder / "cache", folder=folder)
        pages = {"report": folder / "run" / "report.html", "with t-SNE": folder / "tsne.html"}
        if options.repeats > 1:
            fovea(["report", "run", "run1"], cache=folder / "cache", folder=folder)
            pages["comparison"] = folder / "comparison.html"
        seen = {title: look(page) for title, page in pages.items()}
        sizes = {title: page.stat().st_size / 1e6 for title, page in pages.items()}
    for title, found in seen.items():
        for line in found.told():
            options.say(f"{title}: {line}")
    readers = [reader for found in seen.values() for reader in found.readers]
    limit = Limit(0)
    invalid = [found.invalid for found in seen.values() if found.invalid is not None]
    return Answer(
        figures=[
            repeated("size of the report", [sizes["report"]], "MB", limit=Limit(_MOST_MB), of="pages"),
            repeated("writing it, within the training", within, "s", limit=Limit(_MOST_S)),
            repeated("`fovea report RUN`, whole process", again, "s", limit=Limit(_MOST_S)),
            count("violations that axe-core finds", sum(len(r["violations"]) for r in readers), len(readers), limit=limit, of="views"),
            count("requests to anywhere", sum(len(r["requests"]) for r in readers), len(readers), limit=limit, of="views"),
            count("views that scroll sideways", sum(r["sideways"] > 0 for r in readers), len(readers), limit=limit, of="views"),
            *([count("errors of the HTML validator", sum(map(len, invalid)), len(invalid), limit=limit, of="pages")] if invalid else []),
        ],
        notes=[
            f"Pages: {', '.join(f'{title} {size:.2f} MB' for title, size in sizes.items())}. Views: 360 and 1,280 px wide, each in light and dark.",
            "" if invalid else "There is no Java here: the validator was not asked.",
        ],
        command=job.said,
    )
