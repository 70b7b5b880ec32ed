"""Fine-tuning: a head is learned first, on the frozen backbone; then the last layers learn on with it, at a far lower rate.

A fresh head would send large, random gradients into the backbone and spoil it (Deep Learning with Python, chapter 8;
probe then fine-tune: arXiv:2202.10054). So the probe comes first, from the embeddings in the store, and it is what fine-tuning has to
beat on validation: where no epoch does, the probe is what is kept.
"""

from pathlib import Path

from fovea.errors import InputError
from fovea.loading.batches import Batches
from fovea.loading.stored import Inputs
from fovea.models.backbone import Backbone
from fovea.models.freezing import freeze, list_trainable, unfreeze
from fovea.training.after_probe import AfterProbe
from fovea.training.method import Method, Stopping
from fovea.training.settings import OF_EPOCHS
from fovea.training.state import ParameterGroups
from fovea.training.strategy import STRATEGIES, Learned, Plan, StrategyInfo
from fovea.types import Ints, TargetArray

_PART = 0.5  # of the freeze points that learn, from the last one back: of MobileNetV2 these are 96 % of the parameters
_LAYER_DECAY = 0.8  # each part learns so much slower than the one behind it


class Finetune(AfterProbe):
    default = Method(epochs=5, lr=3e-5, schedule="cosine", warmup_epochs=1, stop=Stopping(patience=3))

    def begin(
        self, validation: Batches, targets: TargetArray, groups: Ints, train: Ints
    ) -> tuple[Method, ParameterGroups | None, tuple[str, ...]]:
        settings, network = self.plan.settings, self.plan.network
        if settings.head != "linear":
            raise InputError(
                f"finetune begins with a linear head that is solved for at once, and --head {settings.head} is none",
                got=f"--head {settings.head}",
                expected="--head linear",
                fix="leave --head out, or choose --strategy frozen or scratch",
            )
        note = self.solve_head(self.vectors, targets, groups, train)
        part = _PART if settings.unfreeze is None else settings.unfreeze
        network.body.backbone = unfreeze(freeze(network.body.backbone), fraction=part, batch_norm=settings.batch_norm)
        method = self.to_beat(network, validation, settings.method(self.default))
        decay = _LAYER_DECAY if settings.layer_decay is None else settings.layer_decay
        rates = layerwise(network.body.backbone, lr=method.lr, decay=decay)
        told = (f"the head was learned first, on the frozen backbone: {note}", list_trainable(network).to_text())
        return method, [*rates, {"params": list(network.head.parameters()), "lr": method.lr}], told

    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        learned = super().learn(inputs, targets, groups, train=train, validation=validation, checkpoint=checkpoint, key=key)
        return self.compared(learned, self.plan.settings.method(self.default), "fine-tuning")


def layerwise(backbone: Backbone, *, lr: float, decay: float) -> list[dict[str, object]]:
    """Parameter groups whose rate falls from the last part to the first, by `decay` a part (arXiv:1801.06146, section 3.2)."""
    groups: list[dict[str, object]] = []
    for point in reversed(backbone.freeze_points()):
        own = [p for name, p in backbone.named_parameters() if f"{name}.".startswith(f"{point}.") and p.requires_grad]
        if own:
            groups.append({"params": own, "lr": lr * decay ** len(groups)})
    return groups[::-1]


@STRATEGIES.add(
    StrategyInfo(
        purpose="pictures that differ from those the backbone knows, hundreds a class, and time",
        needs_weights=True,
        options=(*OF_EPOCHS, "augment", "weights", "unfreeze", "layer_decay", "batch_norm", "device", "tensorboard"),
    )
)
def finetune(plan: Plan) -> Finetune:
    """Probe, then fine-tune."""
    return Finetune(plan)
