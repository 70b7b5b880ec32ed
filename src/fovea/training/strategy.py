"""What every strategy is: look at each picture once, then learn from what was seen."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovea.data import Source
from fovea.embeddings.embedder import Embedder
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import UnreadableImage
from fovea.loading.stored import Inputs
from fovea.models.network import Network
from fovea.models.passport import Passport
from fovea.registry import Registry
from fovea.tasks import Task, create_task
from fovea.training.loop import Epoch, Watcher
from fovea.training.method import Method
from fovea.training.settings import OF_EPOCHS, TrainSettings
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Ints, Item, PictureFacts, TargetArray


@dataclass(frozen=True)
class Plan:
    """What was asked and what "auto" made of it: everything that a strategy needs to begin.

    Args:
        settings: As asked.
        task, strategy, backbone_name: As chosen.
        network: Backbone (with its weights, or fresh) and a fresh head.
        passport: Of the backbone's weights once they are learned.
        weights_hash: Of the backbone's state; "" where it is learned from scratch.
        weights_said: Where the weights come from, in words.
        licences: Of the weights.
        preprocessing: From a decoded picture to the network's square.
        augment: The preset that training pictures are augmented with; "none" where they are not.
        notes: What was chosen and why, in plain sentences.
        class_names: In the order of the head's outputs.
        log: A folder for TensorBoard; None writes no such log.
        watchers: Called after each epoch, where there are any.
    """

    settings: TrainSettings
    task: str
    strategy: str
    backbone_name: str
    network: Network
    passport: Passport
    weights_hash: str
    weights_said: str
    licences: tuple[str, ...]
    preprocessing: Preprocessing
    augment: str = "none"
    notes: tuple[str, ...] = ()
    log: Path | None = None
    watchers: tuple[Watcher, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def goal(self) -> Task:
        """The task: what is learned, and what the outputs mean."""
        return create_task(self.task, self.class_names)

    def embedder(self) -> Embedder:
        """What turns pictures into vectors with the plan's backbone."""
        return Embedder(self.network.body, self.backbone_name, self.weights_hash, self.preprocessing, self.settings.engine, self.passport)


@dataclass(frozen=True)
class Looked:
    """What a strategy keeps of each picture: row i of `inputs` belongs to item i, and means nothing where `problems` has i.

    `facts` are by content hash; `decode_s` and `embed_s` are seconds on the clock.
    """

    inputs: Inputs
    facts: dict[str, PictureFacts]
    problems: dict[int, UnreadableImage]
    decode_s: float = 0.0
    embed_s: float = 0.0
    num_from_store: int = 0


@dataclass(frozen=True)
class Learned:
    """What came out: `plan.network` holds the weights.

    Args:
        logits: (N, K) of every row that was given, before calibration.
        onnx: The network's body, exported.
        history: Rows of `history.csv`; empty where there are no epochs.
        search: Choices that were compared by cross-validation: "name", "value", "loss", "std".
        notes: What was chosen and why.
        method: How it learned, with every choice spelt out; None where a head was solved for at once.
        tried: Ways to learn that were compared before, as rows of `metrics.json`.
        embeddings: (N, D) of every row, as `onnx` gives them; None where a strategy keeps none, and then nothing is refused.
        pretrained: (N, D) of every row, by the backbone before it learned anything here, so that heads may be fitted anew on any part of
            them; None where there are none.
        strength: C of the linear head, solved for on `pretrained`, that is the one shipped; None where it was learned otherwise.
    """

    logits: Floats
    onnx: bytes
    history: list[Epoch] = field(default_factory=list)
    search: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    method: Method | None = None
    tried: list[dict[str, Any]] = field(default_factory=list)
    embeddings: Floats | None = None
    pretrained: Floats | None = None
    strength: float | None = None


class Strategy(ABC):
    """One way to learn. A subclass is final; its registered function gets the plan."""

    plan: Plan

    @abstractmethod
    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        """Decodes every picture whole, once, and keeps what `learn` needs. A broken one is named, never replaced."""

    @abstractmethod
    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        """Learns from the rows `train`, watches the rows `validation`, and answers for all rows.

        Args:
            inputs: (N, ...) as `look` gave them.
            targets: (N, ...), as the loss of `plan.goal` takes them.
            groups: (N,) a number for each row, the same for rows that must not judge each other: cross-validation divides none.
            train, validation: Row numbers.
            checkpoint: A folder to resume from.
            key: The hash of the data: a checkpoint of other data is not resumed.
        """


@dataclass(frozen=True)
class StrategyInfo:
    """What a strategy states of itself.

    Args:
        purpose: When to take it, in words.
        needs_weights: Whether it begins with pretrained weights.
        options: Of `train`'s options those that it uses, of those that not every strategy does.
    """

    purpose: str
    needs_weights: bool
    options: tuple[str, ...] = ()

    @property
    def augments(self) -> bool:
        """Whether it sees each picture anew in each epoch, so that it can be augmented."""
        return "augment" in self.options


STRATEGIES: Registry[StrategyInfo] = Registry("strategy", "fovea.training.strategies")


def uses(strategy: str, option: str, *, head: str = "linear") -> bool:
    """Whether an option of `train` changes anything for a strategy; one that no strategy claims for itself counts for all."""
    if option not in OF_EPOCHS and not any(option in entry.info.options for entry in STRATEGIES):
        return True
    info = STRATEGIES[strategy].info
    # a head that is solved for at once has no epochs; any other learns in them, whatever lies before it
    return option in info.options or (option in OF_EPOCHS and head != "linear")


def create_strategy(plan: Plan) -> Strategy:
    """The strategy that the plan names, ready for it."""
    strategy = STRATEGIES[plan.strategy].build(plan)
    if not isinstance(strategy, Strategy):
        raise TypeError(f"the strategy {plan.strategy!r} builds a {type(strategy).__name__}, not a Strategy")
    return strategy
