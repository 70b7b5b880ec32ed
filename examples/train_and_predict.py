"""Learn from a folder of class folders, then ask the model about new pictures.

    python examples/train_and_predict.py photos/ run new.jpg another.jpg

`run` is the folder to write: it must be new or empty, or hold the same training unfinished.
"""

import sys

import fovea

data, out, *pictures = sys.argv[1:]

run = fovea.train(data, out=out)
judged = run.metrics.test or run.metrics.validation  # data with splits of their own may have no test split
low, high = judged.accuracy_ci95
print(f"right on {judged.accuracy:.1%} of {judged.n} pictures; expect {low:.1%} to {high:.1%}")
print(f"open {run.report}")

answers = fovea.predict(str(run.bundle), *pictures)
for path, answer in answers.predictions:
    print(f"{path}: {answer.class_name}, {answer.probability:.0%}")
for path, problem in answers.errors:
    print(f"{path}: {problem.problem}")
