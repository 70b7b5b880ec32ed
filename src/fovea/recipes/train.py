"""The main job: from a folder of pictures to a bundle and a report."""

from dataclasses import asdict
from typing import Literal

from fovea.audit.survey import survey
from fovea.bundle.format import TrainingData
from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.evaluation.answers import check_promises
from fovea.evaluation.assessed import assess
from fovea.evaluation.further import look_further
from fovea.evaluation.grouped import caution
from fovea.export.bundles import Trained, write_bundle
from fovea.files import check_outside, write_csv, write_json
from fovea.recipes._explaining import explain_training, training_pictures
from fovea.recipes._reporting import facts_of, some_pictures, write_train_report
from fovea.recipes._results import command_line
from fovea.report.plots import save_learning_curves
from fovea.selection.auto import begin as begin_learning
from fovea.timing import Stopwatch
from fovea.training.run import Metrics, Run, Timing, begin, open_run
from fovea.training.scaled import learn
from fovea.training.settings import checked
from fovea.training.state import history_table
from fovea.versions import versions


def train(
    data: str,
    *,
    out: str,
    task: str = "auto",
    strategy: str = "auto",
    budget: str | None = None,
    backbone: str = "auto",
    weights: str = "auto",
    weights_pattern: str | None = None,
    head: str = "linear",
    image_size: int | None = None,
    augment: str = "auto",
    epochs: int | None = None,
    batch_size: int = 32,
    lr: float | None = None,
    patience: int | None = None,
    optimizer: str | None = None,
    schedule: str | None = None,
    schedule_options: str | None = None,
    monitor: Literal["loss", "accuracy"] | None = None,
    min_delta: float | None = None,
    warmup_epochs: float | None = None,
    weight_decay: float | None = None,
    l1: float | None = None,
    l2: float | None = None,
    label_smoothing: float | None = None,
    clip_norm: float | None = None,
    dropout: float | None = None,
    ema_decay: float | None = None,
    balance: Literal["none", "weights", "sampling"] | None = None,
    auxiliary_weight: float | None = None,
    unfreeze: float | None = None,
    layer_decay: float | None = None,
    batch_norm: Literal["frozen", "affine", "learning"] = "frozen",
    precision: Literal["float32", "bfloat16"] | None = None,
    compile: bool = False,  # noqa: A002 - torch's own word
    engine: str = "onnxruntime",
    tensorboard: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    coverage: float | None = None,
    false_refusal: float | None = None,
    split_by: str | None = None,
    keep_leaks: bool = False,
    private: bool = False,
    embedding_map: Literal["pca", "tsne"] = "pca",
    seed: int = 0,
    overwrite: bool = False,
) -> Run:
    """Learn to tell the classes of your pictures apart, measure it, and write a model to ship and a report to read.

    Args:
        data: A folder of class folders; a folder with train, validation and test folders; a CSV with the columns path,
            label and, if you like, split and group (with labels, or target, in place of label); a zip or tar of any of these; or a built-in name (digits, shapes).
        out: The folder to write: report.html, metrics.json, bundle/ and more. An unfinished run there is resumed.
        task: What is to be answered: "classification" (one class), "multi_label" (any number of labels), "regression" (one or
            more numbers), or a plug-in's; "auto" takes it from the data.
        strategy: "probe" learns a head on the embeddings of a frozen backbone; "frozen" does so from augmented pictures;
            "finetune" lets the backbone learn on after a probe; "scratch" learns a network from nothing; "auto" compares
            backbones, their depths, heads and strategies on the training pictures, where pretrained weights are at hand.
        budget: How long strategy "auto" may take in all, for example "30s", "5m" or "2h"; by default 5 minutes.
        backbone: A name from `fovea models`, or "auto"; or a network of another package: timm:NAME, transformers:OWNER/NAME, or
            the path of its folder in place of the name. Options of the network stand behind it: minception:batch_norm=false.
        weights: "auto", "none", a file (.safetensors, .pth, or .weights.h5 of Keras), the folder of an earlier run, or
            hub:OWNER/NAME@REVISION.
        weights_pattern: A warm start: take only those tensors whose names match, "blocks.[012].*"; the rest begins fresh. With scratch too.
        head: "linear" is logistic regression; "mlp" has one hidden layer.
        image_size: Side in pixels of the square that the network sees; by default the weights' own.
        augment: How training pictures are varied in each epoch: "none", "light", "standard", "strong" or another preset, with
            "+mixup" or "+cutmix" behind it to mix them with one another; `fovea augment` shows them. "auto" takes light
            for pictures of more than 32 px, in every strategy but probe.
        epochs: At most so many passes over the pictures, where there are any; early stopping mostly ends sooner.
        batch_size: Pictures a step.
        lr: Learning rate; by default the strategy's own, for the optimizer in use.
        patience: Epochs that bring nothing better on validation before it stops.
        optimizer: sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, nadam or adamw; by default adam.
        schedule: How the rate moves: constant, step, exponential, plateau, cosine or one_cycle; by default the strategy's own.
        schedule_options: Of the schedule: "factor=0.5 patience=3" for plateau, "every=10 factor=0.1" for step.
        monitor: What an epoch is judged by on validation: the loss, or the accuracy.
        min_delta: How much better an epoch must be to count as better.
        warmup_epochs: The rate rises in a straight line for so many epochs first.
        weight_decay: Pulls weights towards zero, as the optimizer means it.
        l1, l2: Penalties on the size, and on the squares, of the weights.
        label_smoothing: Share of each target that is spread over all classes.
        clip_norm: Longer gradients are shortened to this.
        dropout: Share of what the last layer reads that is left out, drawn anew in each step.
        ema_decay: Keep a moving average of the weights, for example 0.999.
        balance: Rare classes count more in the loss ("weights"), or are drawn more often ("sampling").
        auxiliary_weight: Of the loss of each auxiliary head, where the network has any.
        unfreeze: finetune: the share of the backbone that learns, from its last layer back, 0 to 1; by default 0.5.
        layer_decay: finetune: each part learns at so much of the rate of the part behind it.
        batch_norm: finetune: "frozen" keeps it as the weights have it; "affine" lets scale and shift learn, "learning" all of it.
        precision: bfloat16 is quicker on graphics cards and on processors that have instructions for it, and many times slower on others.
        compile: Let torch compile the network first.
        engine: What runs the frozen backbone: "onnxruntime", or "openvino" where it is installed.
        tensorboard: Also write a log for TensorBoard into the run's folder, where a network learns (scratch, finetune).
        device: Where a network learns; "auto" takes a graphics card where torch finds one. A probe needs none.
        coverage: How often a prediction set is to hold the right class at least, 0.95 by default; of numbers, how often the interval around
            each is to hold the truth, 0.9 by default. More needs more validation pictures: 99 for 0.99.
        false_refusal: The share of pictures like yours that may be refused by mistake as "like nothing it was shown", 0.05 by default;
            smaller refuses fewer strange ones too.
        split_by: A regular expression that is looked for in each picture's path; pictures for which its first group (in
            parentheses) reads the same stay on one side of the splits: "patient(\\d+)".
        keep_leaks: Learn also from training pictures that stand in validation or test too, as they are or in another version.
        private: Ship no training picture in the bundle, and no path: its check pictures are drawn, and it cannot explain by example. The report still shows pictures.
        embedding_map: How the report puts pictures on its map of what looks alike: "pca", or "tsne", which takes seconds more.
        seed: Of everything that is drawn by chance.
        overwrite: Replace an earlier run in `out`.

    Returns:
        The run: its folder, and the content of its metrics.json.
    """
    watch = Stopwatch()
    settings = checked(
        data=str(data), task=task, strategy=strategy, budget=budget, backbone=backbone, weights=str(weights), head=head, image_size=image_size,
        augment=augment, epochs=epochs, batch_size=batch_size, lr=lr, patience=patience, optimizer=optimizer,
        schedule_options=schedule_options, monitor=monitor, min_delta=min_delta, auxiliary_weight=auxiliary_weight,
        weights_pattern=weights_pattern, schedule=schedule, warmup_epochs=warmup_epochs, weight_decay=weight_decay, l1=l1, l2=l2, label_smoothing=label_smoothing,
        clip_norm=clip_norm, dropout=dropout, ema_decay=ema_decay, balance=balance, unfreeze=unfreeze, layer_decay=layer_decay,
        batch_norm=batch_norm, precision=precision, compile=compile, engine=engine, device=device, coverage=coverage,
        false_refusal=false_refusal, split_by=split_by,
        keep_leaks=keep_leaks, private=private, seed=seed,
    )  # fmt: skip
    with open_source(data, seed=seed) as source, EmbeddingStore() as store:
        check_outside(out, source.location)
        with open_run(out, settings, overwrite=overwrite) as run:
            learner = begin_learning(settings, source, log=run.tensorboard if tensorboard else None)
            check_promises(learner.plan.goal, coverage, false_refusal)
            seen = survey(source, learner, store, seed=seed, watch=watch, split_by=split_by, keep_leaks=keep_leaks)
            begin(run, settings, overwrite=overwrite)
            write_json(run.audit, seen.audit.to_json())

            # Learn on train, watch and calibrate on validation; only then are the test pictures answered, once.
            goal, rows = learner.plan.goal, seen.rows
            targets = goal.targets(seen.labels)
            with watch("train_s"):
                learned = learn(
                    learner, goal, seen.inputs, targets, seen.groups, train=rows["train"], validation=rows["validation"], checkpoint=run.checkpoint, key=seen.data_hash
                )  # fmt: skip
                assessed = assess(
                    goal, learned.logits, learned.embeddings, targets, seen.groups, rows, coverage=coverage, false_refusal=false_refusal, seed=seed
                )  # fmt: skip
            plan, goal, answers = learner.plan, assessed.task, assessed.answers  # with what was chosen and settled
            write_csv(run.history, *history_table(learned.history))
            with watch("evaluate_s"):
                measured = {split: assessed.measure(split) for split in rows}
                further = look_further(
                    goal, learned, answers[goal.answer], targets, seen.groups, rows, items=seen.items, facts=facts_of(seen, store),
                    own_splits=any(item.split for item in source.items), seed=seed,
                )  # fmt: skip
            asked = sorted(rows["test"])
            columns, judged = goal.judged([seen.labels[i] for i in asked], {goal.answer: answers[goal.answer][asked]})
            write_csv(
                run.predictions,
                ("path", "split", *columns),
                [(seen.items[i].path, "test", *row) for i, row in zip(asked, judged, strict=True)],
            )

            # Write what is shipped, what is read, and last of all what says that the run is finished.
            figures: dict[str, object] = {split: found for split, found in measured.items() if found and split != "train"}
            learned_from = training_pictures(goal, seen, learned.embeddings)
            with watch("export_s"):
                write_bundle(
                    run.bundle,
                    Trained(plan.network, learned.onnx, plan.backbone_name, assessed.answering, plan.preprocessing, goal, plan.licences),
                    pictures=some_pictures(source, [seen.items[i] for i in rows["train"]], plan.preprocessing),
                    strategy=plan.strategy,
                    training_data=TrainingData(hash=seen.data_hash, num_files=len(rows["train"])),
                    metrics=figures,
                    settled=assessed.settled,
                    neighbours=learned_from.some(seed=seed) if learned_from else None,
                    private=private,
                )
            with watch("explain_s"):
                explained = explain_training(run, plan.network, goal, source, seen, answers[goal.answer], learned.embeddings, learned_from)
            metrics = Metrics(
                task=goal.name,
                strategy=plan.strategy,
                backbone=plan.backbone_name,
                class_names=list(source.class_names),
                num_files={split: len(index) for split, index in rows.items()},
                validation=measured["validation"],
                test=measured["test"],
                timing=Timing(),
                seed=seed,
                command=command_line(
                    "train",
                    data,
                    out=out,
                    **settings.model_dump(exclude={"data"}, exclude_defaults=True),
                    embedding_map=embedding_map if embedding_map != "pca" else None,
                ),
                versions=versions("fovea", "numpy", "onnxruntime", "opencv-python-headless", "scikit-learn", "simplejpeg", "torch"),
                notes=[*plan.notes, *seen.notes, *learned.notes, *assessed.answering.notes, *caution(measured["test"], "test")],
                weights=plan.weights_said,
                image_size_px=plan.preprocessing.size_px,
                temperature=assessed.answering.calibration.temperature,
                **assessed.answering.to_json(),
                **further.to_json(),
                train=measured["train"],
                search=learned.search,
                tried=learned.tried,
                method=asdict(learned.method) if learned.method else None,
            )
            with watch("report_s"):
                if learned.history:
                    save_learning_curves([row.row() for row in learned.history], run.curves)
                write_train_report(
                    run,
                    source,
                    seen,
                    goal,
                    answers,
                    metrics,
                    learned.history,
                    watch.seconds(),
                    further=further,
                    embeddings=learned.embeddings,
                    way=embedding_map,
                    explained=explained,
                )
            metrics.timing = Timing(**watch.seconds())
            write_json(run.metrics, metrics.model_dump(mode="json"))
    return Run(run.path, metrics, run.report, run.bundle, seen.audit.num_unreadable)
