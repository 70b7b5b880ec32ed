"""The loss of a student: what its teacher answers, in the soft shades between the classes, and what it sees."""

import torch
from torch.nn import functional as F


def distillation(
    answers: torch.Tensor, targets: torch.Tensor, *, num_features: int, softness: float, embedding_weight: float = 1.0
) -> torch.Tensor:
    """Mean over the batch of two losses, added: of the probabilities, and of the embedding.

    Args:
        answers: (B, D + K): the student's guess of the teacher's embedding, then its logits.
        targets: (B, D + K): the teacher's embedding, brought to deviation 1, then its probabilities.
        num_features: D.
        softness: The temperature at which both sets of probabilities are compared; above 1 the small ones count more
            (arXiv:1503.02531). The loss is scaled by its square, so that it does not shrink with it.
        embedding_weight: Of the second loss. At 1 the first pulls much harder, since the second is a mean over D.
    """
    seen, logits = answers[:, :num_features], answers[:, num_features:]
    soft = (targets[:, num_features:].clamp_min(1e-8).log() / softness).softmax(1)
    apart = F.kl_div((logits / softness).log_softmax(1), soft, reduction="batchmean") * softness**2
    return apart + embedding_weight * F.mse_loss(seen, targets[:, :num_features])
