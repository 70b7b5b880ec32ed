"""The schedules of the texts."""

import math

from fovea.training.schedules import SCHEDULES, Moment, ScheduleInfo


@SCHEDULES.add(ScheduleInfo("nothing moves"))
def constant(at: Moment) -> float:
    """The same rate throughout."""
    return 1.0


@SCHEDULES.add(ScheduleInfo("a tenth, every so often"))
def step(at: Moment, *, every: float = 0.0, factor: float = 0.1) -> float:
    """Multiplied by `factor` after each `every` epochs; 0 is a third of the training."""
    return float(factor ** math.floor(at.epoch / (every or max(1e-9, at.epochs / 3))))


@SCHEDULES.add(ScheduleInfo("a little less in each epoch"))
def exponential(at: Moment, *, factor: float = 0.95) -> float:
    """Multiplied by `factor` in each epoch."""
    return float(factor**at.epoch)


@SCHEDULES.add(ScheduleInfo("a tenth whenever nothing gets better"))
def plateau(at: Moment, *, factor: float = 0.1, patience: float = 2, min_delta: float = 0.0) -> float:
    """Multiplied by `factor` when the watched value has not fallen by more than `min_delta` for `patience` epochs: sooner than early stopping ends it."""
    reductions, best, stale = 0, math.inf, 0
    for value in at.watched:
        if value < best - min_delta:
            best, stale = value, 0
        else:
            stale += 1
            if stale >= patience:
                reductions, stale = reductions + 1, 0
    return factor**reductions


@SCHEDULES.add(ScheduleInfo("down to nothing, gently at both ends; for fine-tuning"))
def cosine(at: Moment, *, last: float = 0.0) -> float:
    """Half a cosine from 1 to `last` (arXiv:1608.03983)."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, at.epoch / at.epochs)))


@SCHEDULES.add(ScheduleInfo("up, then far down: quick training at a high rate"))
def one_cycle(at: Moment, *, rise: float = 0.3, first: float = 0.04, last: float = 1e-4) -> float:
    """From `first` up to 1 in the share `rise` of the training, then down to `last`, both as half cosines (arXiv:1708.07120).

    The rate alone: momentum stays.
    """
    done = min(1.0, at.epoch / at.epochs)
    start, end, part = (first, 1.0, done / rise) if done < rise else (1.0, last, (done - rise) / (1 - rise))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * part))
