"""Fine-tuning: a head is learned first, on the frozen backbone; then the last layers learn on with it, at a far lower rate.

A fresh head would send large, random gradients into the backbone and spoil it (Deep Learning with Python, chapter 8;
probe then fine-tune: arXiv:2202.10054). So the probe comes first, from the embeddings in the store, and it is what fine-tuning has to
beat on validation: where no epoch does, the probe is what is kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fovea.data import Source
from fovea.embeddings.extract import embed
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import InputError
from fovea.loading.batches import Batches
from fovea.loading.stored import Inputs
from fovea.models.backbone import Backbone
from fovea.models.freezing import freeze, list_trainable, unfreeze
from fovea.models.heads.linear import LinearHead
from fovea.training.end_to_end import EndToEnd
from fovea.training.logistic import fit_logistic
from fovea.training.loop import Epoch, evaluate
from fovea.training.method import Method, Stopping
from fovea.training.state import ParameterGroups
from fovea.training.strategy import STRATEGIES, Learned, Looked, Plan, StrategyInfo
from fovea.types import Floats, Ints, Item

_PART = 0.5  # of the freeze points that learn, from the last one back: nearly all parameters, and little more than half the time
_LAYER_DECAY = 0.8  # each part learns so much slower than the one behind it


class Finetune(EndToEnd):
    default = Method(epochs=5, lr=3e-5, schedule="cosine", warmup_epochs=1, stop=Stopping(patience=5))
    _vectors: Floats
    _probe: Epoch | None = None

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        self._vectors = embed(source, items, hashes, embedder=self.plan.embedder(), store=store).vectors
        return super().look(source, items, hashes, store)

    def begin(
        self, validation: Batches, targets: Ints, groups: Ints, train: Ints
    ) -> tuple[Method, ParameterGroups | None, tuple[str, ...]]:
        settings, network = self.plan.settings, self.plan.network
        if settings.head != "linear":
            raise InputError(
                f"finetune begins with a head that logistic regression has solved, and --head {settings.head} is none",
                got=f"--head {settings.head}",
                expected="--head linear",
                fix="leave --head out, or choose --strategy frozen or scratch",
            )
        num_classes = network.head.arrays()[-1][1].shape[0]
        fitted = fit_logistic(self._vectors[train], targets[train], groups[train], num_classes=num_classes, seed=settings.seed)
        network.head = LinearHead.from_arrays(fitted.weight, fitted.bias, dropout=settings.dropout)
        part = _PART if settings.unfreeze is None else settings.unfreeze
        network.body.backbone = unfreeze(freeze(network.body.backbone), fraction=part, batch_norm=settings.batch_norm)
        method = settings.method(self.default)
        told = [f"the head was learned first, on the frozen backbone: {fitted.note}", list_trainable(network).to_text()]
        if validation.num_examples:
            loss, accuracy, _ = evaluate(network, validation)
            method = replace(method, stop=replace(method.stop, baseline=loss if method.stop.monitor == "loss" else accuracy))
            self._probe = Epoch(0, "validation", loss, accuracy, 0.0, 0.0)
        decay = _LAYER_DECAY if settings.layer_decay is None else settings.layer_decay
        rates = layerwise(network.body.backbone, lr=method.lr, decay=decay)
        return method, [*rates, {"params": list(network.head.parameters()), "lr": method.lr}], tuple(told)

    def learn(self, inputs: Inputs, targets: Ints, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str) -> Learned:
        learned = super().learn(inputs, targets, groups, train=train, validation=validation, checkpoint=checkpoint, key=key)
        if not self._probe:
            return learned
        best = min((row for row in learned.history if row.split == "validation"), key=lambda row: row.loss, default=self._probe)
        kept = best.loss < self._probe.loss
        told = (
            f"fine-tuning {'was better than' if kept else 'did not beat'} the probe on validation, so {'it' if kept else 'the probe'} was kept: "
            f"loss {best.loss:.4f} against {self._probe.loss:.4f}, accuracy {best.accuracy:.1%} against {self._probe.accuracy:.1%}"
        )
        return replace(learned, history=[self._probe, *learned.history], notes=(*learned.notes, told))


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
        purpose="pictures that differ from those the backbone knows, hundreds a class, and time", needs_weights=True, augments=True
    )
)
def finetune(plan: Plan) -> Finetune:
    """Probe, then fine-tune."""
    return Finetune(plan)
