"""A network of torchvision or timm with random weights: its file, a picture, and what it answers (see README.md): the peer of `parity`.

    python parity_torch.py LIBRARY NAME SIDE_PX FOLDER [OPTIONS]

LIBRARY is torchvision or timm, NAME its own, OPTIONS its own, as JSON. Writes FOLDER/NAME.pth (torchvision) or FOLDER/NAME.safetensors (timm),
and FOLDER/NAME.npz, and prints one JSON object. Parameters of second classifiers, which do not answer, are not counted.

All tensors are moved away from where they begin (ones, zeros), so that a weight taken for a variance would be seen.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

_register = torch.library.register_fake


def register_what_exists(name, *arguments, **options):
    """torchvision's operators in C++ do not load beside a CPU build of torch; its networks do without them."""
    register = _register(name, *arguments, **options)

    def attempt(function):
        try:
            return register(function)
        except RuntimeError:
            return function

    return attempt


torch.library.register_fake = register_what_exists
warnings.simplefilter("ignore")

library, name, side, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
options = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
torch.manual_seed(0)
if library == "timm":
    import timm

    network = timm.create_model(name, pretrained=False, **options)
else:
    import torchvision

    network = getattr(torchvision.models, name)(weights=None, **options)

norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
normed = norms or any(isinstance(module, torch.nn.LayerNorm) for module in network.modules())
bias = 0.2 if normed else 0.02  # without norms, biases soon drown what comes from the picture
with torch.no_grad():
    for key, tensor in network.named_parameters():
        if tensor.dim() == 1 and key.endswith("weight"):
            tensor.uniform_(0.7, 1.3)
        elif tensor.dim() == 1 or "token" in key or "embed" in key:
            tensor.normal_(0, bias)
        elif not normed:
            torch.nn.init.kaiming_normal_(tensor)  # torch's first weights shrink a map
    coarse = 2 * torch.randn(2, 3, 5, 5).repeat_interleave(side // 5 + 1, 2).repeat_interleave(side // 5 + 1, 3)[..., :side, :side]
    pixels = coarse + 0.5 * torch.randn(2, 3, side, side)  # two that differ

    # Batch norm takes the statistics of these pictures, and then some others near them: random weights would otherwise shrink
    # or blow up what passes through a hundred layers, and the answer, the same for any picture, would hide faults.
    network.eval()
    for module in norms:
        module.momentum = 1.0
        module.train()
    network(pixels)
    for module in norms:
        module.running_mean += 0.2 * torch.randn_like(module.running_mean) * module.running_var.sqrt()
        module.running_var *= torch.empty_like(module.running_var).uniform_(0.7, 1.3)
    network.eval()
    logits = network(pixels)

if library == "timm":
    from safetensors.torch import save_file

    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, folder / f"{name}.safetensors")
else:
    torch.save(network.state_dict(), folder / f"{name}.pth")
np.savez(folder / f"{name}.npz", pixels=pixels.numpy(), logits=logits.numpy())
counted = sum(p.numel() for key, p in network.named_parameters() if not key.startswith(("aux1.", "aux2.", "AuxLogits.")))
print(json.dumps({"num_parameters": counted, "apart": float((logits[0] - logits[1]).abs().max() / logits.abs().max())}))
