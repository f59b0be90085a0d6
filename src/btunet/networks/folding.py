"""Normalisation as a part of the convolution before it, which saves a pass over every map of a prediction."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(network: nn.Module) -> None:
    """Let the convolutions of a network in evaluation mode do what the batch normalisation after them does.

    Where one follows the other in an `nn.Sequential`, that is. The network cannot be trained further.
    """
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (at, layer), (after, norm) in pairwise(list(sequence.named_children())):
            owner, last = (layer, str(len(layer) - 1)) if isinstance(layer, nn.Sequential) else (sequence, at)
            convolution = owner.get_submodule(last)
            # subclasses of the normalisation do more than to normalise
            if isinstance(convolution, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                setattr(owner, last, fuse_conv_bn_eval(convolution, norm))
                setattr(sequence, after, nn.Identity())
