"""The card: a bundle's README.md, for whoever receives it."""

from fovea.bundle.format import BundleInfo
from fovea.tasks import Task, create_task


def card(info: BundleInfo, *, kept: str = "") -> str:
    """What the model is, what it was measured at, how to ask it, and where its limits lie.

    Args:
        info: The content of `bundle.json`.
        kept: What of the training pictures travels with it, in sentences.
    """
    task = create_task(info.task, info.class_names)
    names = ", ".join(info.class_names[:20]) + (f" ... ({len(info.class_names)} in all)" if len(info.class_names) > 20 else "")
    rows, sentences = list[str](), list[str]()
    for split in ("validation", "test"):
        found = info.metrics.get(split)
        if found and (told := task.told(found, split=split)) is not None:
            sentences.append(f"{told.sentence} {told.caution}".strip())
        elif found:
            low, high = found["accuracy_ci95"]
            rows.append(f"| {split} | {found['n']} | {found['accuracy']:.1%} | {low:.1%} to {high:.1%} |")
    measured = (
        "\n".join(["| split | pictures | accuracy | 95 % interval |", "|---|---|---|---|", *rows])
        if rows
        else "\n\n".join(sentences)
        if sentences
        else "Not measured on your data yet."
    )
    learned = f"{info.training_data.num_files} pictures" if info.training_data.num_files else "the pictures its weights came with"
    size = info.preprocessing.size_px
    calibrated = "" if task.activation == "identity" else " (calibrated)"
    return f"""# {task.title}: {names}

Backbone `{info.backbone}`, strategy `{info.strategy}`, learned from {learned}.

## How good it is
{measured}

{_limits(info, task)} On pictures unlike those it learned from, these figures do not hold.

## How to ask it
```
fovea predict THIS_FOLDER photo.jpg
```
or in any ONNX runtime: `model.onnx` takes `pixels`, uint8 (B, {size}, {size}, 3) RGB, prepared as `bundle.json` says under
`preprocessing`, and gives `{task.answer}`{calibrated} and `embedding`. `golden.npz` holds pictures with their right answers.

{f"## What it holds of the training pictures{chr(10)}{kept}{chr(10)}{chr(10)}" if kept else ""}## Licences
{chr(10).join(f"- {licence}" for licence in info.licences) or "- none stated for the weights it started from"}
"""


def _limits(info: BundleInfo, task: Task) -> str:
    """What it does where it is not sure, and where it cannot know."""
    told = []
    if info.conformal:
        told.append(
            f"Where it is not sure, `prediction_set` names the classes that together hold the right one at least {info.conformal['coverage']:.1%} of the time."
        )
    if not info.refusal:
        return " ".join([*told, task.limits])
    told.append(
        f"A picture that is like nothing it was shown is marked `refused`; so are {info.refusal['false_refusal']:.0%} of pictures that it knows. "
        "Strange pictures that resemble known ones pass."
    )
    return " ".join(told)
