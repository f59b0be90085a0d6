"""What a pre-training keeps while it runs, and what of it a checkpoint holds: the encoder, its descent, the chances."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .barlow import Projector, barlow_twins, effective_rank
from .checkpoint import Checkpoint, broken
from .device import channels_last, pick_device, precision, settle
from .errors import BtunetError
from .health import Watch
from .memory import Batch, kept
from .model import Model
from .optimise import Clock, Trainer, explained, numbers, seeded
from .patches import Source
from .pictures import Pictures
from .ranks import ALONE, Ranks
from .recipes import PRETRAINING
from .settings import PretrainSettings, ViewSettings
from .task import LearnedPlane, Progress
from .twins import Twins
from .views import as_told


class TwinLearner:
    """Everything that moves while an encoder learns: weights, descent, clock and random numbers."""

    def __init__(
        self,
        model: Model,
        sources: Sequence[Source],
        settings: PretrainSettings,
        ranks: Ranks = ALONE,
        sizes: tuple[int, int] | None = None,
        views: ViewSettings | None = None,
    ) -> None:
        self.ranks = ranks
        self.sources = sources
        self.settings = settings
        self.views = views or ViewSettings()
        self.recipe = as_told(PRETRAINING[settings.recipe], self.views)
        self.device = pick_device()
        self.rng = np.random.default_rng(settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        network = model.build(classes=len(model.classes) or 2, seed=settings.seed)
        self.encoder = settle(network.encoder).train()
        self.twins = Twins(sources, self.device, settings.patch_size, self.recipe, ranks)
        self.stride = network.stride
        self.pictures: Pictures | None = None
        self.watch = Watch()
        self.batch = Batch(settings.batch, 4, ranks)
        if sizes:
            self.batch.size, self.dimensions = sizes
        else:
            # two patches, each seen twice
            images = torch.zeros(4, model.channels, settings.patch_size, settings.patch_size, device=self.device)
            with explained("patch size"):
                self.batch.fit(kept(self.encoder, images) / 2, self.device)
            self.dimensions = self.recipe.dimensions or self.batch.size // 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            projector = Projector(network.widths[-self.recipe.levels :], self.recipe.hidden, self.dimensions)
        self.projector = projector.to(self.device).train()
        self.modules = nn.ModuleDict({"encoder": self.encoder, "projector": self.projector})
        ranks.synchronise(self.modules)
        self.trainer = Trainer(self.modules, self.recipe.descent, settings.learning_rate, ranks)
        self.clock = Clock(settings.steps, settings.minutes)
        self.values: dict[str, float] = {}
        self.trouble = ""  # why the last checkpoint was not written
        start = {"sha256": _digest(model)}
        about = {**settings.as_dict(), **self.views.as_dict()}
        self._about = {**about, "images": _traits(sources), "weights to start from": start}

    def step(self) -> None:
        """Make one gradient step."""
        self.values = self.batch.attempt(self._step)
        self.clock.step += 1

    def _step(self) -> dict[str, float]:
        recipe, ranks = self.recipe, self.ranks
        with seeded(self.generator, ranks):
            views = self.twins(self.batch.size, self.rng, self.generator)
            with precision(self.device):
                features = self.encoder(channels_last(torch.cat(views)))  # one pass: batch statistics over both views
            z_a, z_b = (ranks.gather(z) for z in self.projector(features).chunk(2))  # (N, D) each
            on_diagonal, off_diagonal = barlow_twins(z_a, z_b, recipe.redundancy or 1 / self.dimensions)
            loss = on_diagonal + off_diagonal
            self.trainer.step(loss, ranks.first(self.clock.fraction))
        rank = effective_rank(ranks.gather(features[-1].detach().mean((-2, -1))))
        parts = {"loss": loss, "on diagonal": on_diagonal, "off diagonal": off_diagonal}
        return {**numbers(parts), "rank": rank}

    def progress(self, look_at: tuple[int, int] | None) -> Progress:
        """Return where the training stands after a step."""
        clock, stage = self.clock, f"pre-training{self.batch.note}{self.trouble}"
        learned, health = self._picture(look_at), self.watch.note(self.values)
        return Progress(stage, clock.step, clock.total, self.values, learned=learned, health=health)

    def _picture(self, look_at: tuple[int, int] | None) -> LearnedPlane | None:
        """Return a plane as the encoder sees it, if somebody looks and there is time for it; the last one in any case.

        Of several processes none does it: the others would wait.
        """
        if look_at is None or self.ranks.size > 1:
            return None
        if self.pictures is None:
            self.pictures = Pictures(self.encoder, self.sources, self.twins.windows, self.stride, self.settings.seed)
        return self.pictures.take(*look_at) if self.clock.done or self.pictures.is_due else None

    def check_same(self) -> None:
        """Raise BtunetError if another rank is about to train something else."""
        self.ranks.check_same(zlib.crc32(json.dumps([self._about, self.clock.step]).encode()))

    def keep(self, path: Path) -> None:
        """Write a checkpoint; a full disk costs no training, it is tried again."""
        try:
            self.checkpoint().save(path)
        except BtunetError as error:
            self.trouble = f" ({error})"
        else:
            self.trouble = ""

    def checkpoint(self) -> Checkpoint:
        """Return what `resume` needs."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in self._tensors().items()}
        state = {
            "step": self.clock.step,
            "batch": self.batch.size,
            "dimensions": self.dimensions,
            "seconds": self.clock.seconds,
            "values": self.values,
            "numpy": self.rng.bit_generator.state,
        }
        return Checkpoint(self._about, state, {**arrays, "generator": self.generator.get_state().numpy()})

    def resume(self, found: Checkpoint, path: Path) -> None:
        """Go on from a checkpoint, which was found at a path."""
        found.check(path, self._about)
        state = found.state
        try:
            with torch.no_grad():
                for name, tensor in self._tensors().items():
                    tensor.copy_(_of_shape(tensor, found.tensors[name]))
            self.generator.set_state(torch.tensor(found.tensors["generator"]))
            self.rng.bit_generator.state = state["numpy"]
            self.values = {str(name): float(value) for name, value in dict(state["values"]).items()}
            if not (state["step"] >= 0 and state["seconds"] >= 0):
                raise ValueError(f"{state['step']} steps")
            self.clock.resume(int(state["step"]), float(state["seconds"]))
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:  # the last is torch's
            raise broken(path, error) from error

    def _tensors(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, by name: themselves, no copies."""
        return {**self.modules.state_dict(), **self.trainer.state()}


def sizes_of(found: Checkpoint, path: Path, settings: PretrainSettings) -> tuple[int, int]:
    """Return a checkpoint's patches per step and compared features, which may be fewer than asked for."""
    batch, dimensions = (found.state.get(name) for name in ("batch", "dimensions"))
    most = PRETRAINING[settings.recipe].dimensions or settings.batch // 2
    if batch not in range(1, settings.batch + 1) or dimensions not in range(1, most + 1):
        raise broken(path, ValueError(f"{batch} patches per step and {dimensions} features"))
    return int(found.state["batch"]), int(found.state["dimensions"])


def _of_shape(tensor: Tensor, saved: np.ndarray) -> Tensor:
    """Return what was saved of a tensor; copying would stretch what is too small."""
    found = torch.tensor(saved)
    if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
        raise ValueError(f"{saved.shape} values of {saved.dtype} instead of {tuple(tensor.shape)}")
    if not found.isfinite().all():
        raise ValueError("values that are NaN or infinite")
    return found


def _traits(sources: Sequence[Source]) -> list[Any]:
    """Return by what images are told from others, without reading them once more."""
    # six digits: the last ones depend on the processor
    limits = [[f"{limit:.6g}" for limit in s.limits.flat] for s in sources]
    return [
        [s.stack.name, s.stack.axes, [int(n) for n in s.stack.data.shape], seen]
        for s, seen in zip(sources, limits, strict=True)
    ]


def _digest(model: Model) -> str:
    """Return the SHA-256 of a model's weights and of what they are for."""
    digest = hashlib.sha256(json.dumps([model.network, model.channels, model.normalisation.as_dict()]).encode())
    for name, weight in sorted(model.weights.items()):
        digest.update(name.encode() + np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
