"""The card: a bundle's README.md, for whoever receives it."""

from fovea.bundle.format import BundleInfo


def card(info: BundleInfo) -> str:
    """What the model is, what it was measured at, how to ask it, and where its limits lie."""
    names = ", ".join(info.class_names[:20]) + (f" ... ({len(info.class_names)} in all)" if len(info.class_names) > 20 else "")
    rows = []
    for split in ("validation", "test"):
        if found := info.metrics.get(split):
            low, high = found["accuracy_ci95"]
            rows.append(f"| {split} | {found['n']} | {found['accuracy']:.1%} | {low:.1%} to {high:.1%} |")
    measured = (
        "\n".join(["| split | pictures | accuracy | 95 % interval |", "|---|---|---|---|", *rows])
        if rows
        else "Not measured on your data yet."
    )
    learned = f"{info.training_data.num_files} pictures" if info.training_data.num_files else "the pictures its weights came with"
    size = info.preprocessing.size_px
    return f"""# A picture classifier: {names}

Backbone `{info.backbone}`, strategy `{info.strategy}`, learned from {learned}.

## How good it is
{measured}

{_limits(info)} On pictures unlike those it learned from, these figures do not hold.

## How to ask it
```
fovea predict THIS_FOLDER photo.jpg
```
or in any ONNX runtime: `model.onnx` takes `pixels`, uint8 (B, {size}, {size}, 3) RGB, prepared as `bundle.json` says under
`preprocessing`, and gives `probabilities` (calibrated) and `embedding`. `golden.npz` holds pictures with their right answers.

## Licences
{chr(10).join(f"- {licence}" for licence in info.licences) or "- none stated for the weights it started from"}
"""


def _limits(info: BundleInfo) -> str:
    """What it does where it is not sure, and where it cannot know."""
    told = []
    if info.conformal:
        told.append(
            f"Where it is not sure, `prediction_set` names the classes that together hold the right one at least {info.conformal['coverage']:.1%} of the time."
        )
    if not info.refusal:
        return " ".join([*told, "It answers with one of its classes whatever the picture shows."])
    told.append(
        f"A picture that is like nothing it was shown is marked `refused`; so are {info.refusal['false_refusal']:.0%} of pictures that it knows. "
        "Strange pictures that resemble known ones pass."
    )
    return " ".join(told)
