"""What a user can set. The command line, the form in the panel and the saved record are derived from these fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

NETWORKS = {
    "unet": "BT-Unet's own, residual and separable: small, fast, good on most images; 0.35 million parameters",
    "plain-unet": "the same with plain convolutions; 2.1 million parameters",
    "attention-unet": "gates on the skip connections, made for small objects among others; 2.4 million parameters",
    "inception-unet": "kernels of several sizes, made for objects of several sizes; slow; 4.0 million parameters",
    "rca-iunet": "inception blocks and attention, made for blurred borders; slow; 2.9 million parameters",
}
"""Every network, with what it is good for."""

ZOO = "smp:"
"""What names of networks with an encoder of segmentation-models-pytorch begin with."""

RECIPES = ("default", "bare", "paper")
METHODS = "ours, ours without what was learned from ImageNet, or that of the BT-Unet paper"


def param(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    choices: tuple[str, ...] = (),
    prefix: str = "",
) -> Any:
    """Return a dataclass field with its help text (unit included) and its limits.

    What begins with ``prefix`` is allowed besides the ``choices``.
    """
    limits = {"min": min, "max": max, "choices": choices, "prefix": prefix}
    return field(default=default, metadata={"help": help, **limits})


def _network(help: str) -> Any:
    return param("unet", f"{help}: {', '.join(NETWORKS)}, or {ZOO}ENCODER", choices=tuple(NETWORKS), prefix=ZOO)


def _recipe(default: str = RECIPES[0]) -> Any:
    return param(default, f"method: {METHODS}", choices=RECIPES)


def _rate() -> Any:
    return param(0.0, "highest rate of the schedule; 0 means the recipe's own", min=0, max=1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: checks every field against its limits.

    Raises
    ------
    ValueError
        Naming the field, the value and the limit.
    """

    def __post_init__(self) -> None:
        for f in fields(self):
            value, limits = getattr(self, f.name), f.metadata
            name = f.name.replace("_", " ")
            named = bool(limits["prefix"]) and str(value).startswith(limits["prefix"])
            if limits["choices"] and value not in limits["choices"] and not named:
                raise ValueError(f"{name} is {value!r}; choose one of: {', '.join(limits['choices'])}")
            if limits["min"] is not None and not value >= limits["min"]:
                raise ValueError(f"{name} is {value}; it must be at least {limits['min']}")
            if limits["max"] is not None and not value <= limits["max"]:
                raise ValueError(f"{name} is {value}; it must be at most {limits['max']}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(Settings):
    """Barlow Twins pre-training."""

    network: str = _network("network to pre-train")
    recipe: str = _recipe()
    minutes: float = param(5.0, "time to train, minutes (used when steps is 0)", min=0.001, max=100_000)
    steps: int = param(0, "gradient steps; 0 means as many as fit into the minutes", min=0)
    seed: int = param(0, "seed of all random choices", min=0)
    batch: int = param(64, "patches per step", min=4, max=4096)
    patch_size: int = param(64, "side of a patch, pixels", min=16, max=1024)
    learning_rate: float = _rate()


@dataclass(frozen=True, kw_only=True)
class ViewSettings(Settings):
    """What pre-training teaches the network to ignore: two views of one place differ in it."""

    ignore_brightness: bool = param(True, "ignore brightness, contrast, blur and noise")
    ignore_orientation: bool = param(True, "ignore quarter turns and mirror images")
    ignore_size: bool = param(True, "ignore small changes of size")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(Settings):
    """Supervised training from strokes or masks."""

    network: str = _network("network to train where none is given to start from")
    recipe: str = _recipe()
    minutes: float = param(1.0, "time to train, minutes (used when steps is 0)", min=0.001, max=100_000)
    steps: int = param(0, "gradient steps; 0 means as many as fit into the minutes", min=0)
    seed: int = param(0, "seed of all random choices", min=0)
    batch: int = param(8, "patches per step", min=1, max=1024)
    patch_size: int = param(128, "side of a patch, pixels", min=16, max=2048)
    learning_rate: float = _rate()


@dataclass(frozen=True, kw_only=True)
class TrialSettings(Settings):
    """Whether pre-training helped: trainings with and without it, on strokes of which some are held out."""

    folds: int = param(4, "parts that whole strokes are dealt into; each is held out once", min=2, max=50)
    seeds: int = param(2, "pairs of trainings for every part, each with random numbers of its own", min=2, max=1000)
    steps: int = param(100, "gradient steps of every training", min=1)
    recipe: str = _recipe()
    seed: int = param(0, "seed of all random choices", min=0)
    batch: int = param(FinetuneSettings.batch, "patches per step", min=1, max=1024)
    patch_size: int = param(FinetuneSettings.patch_size, "side of a patch, pixels", min=16, max=2048)


@dataclass(frozen=True, kw_only=True)
class StudySettings(Settings):
    """Comparison of initialisations, networks and amounts of labels."""

    networks: tuple[str, ...] = param(("unet",), "networks to compare, as in pretrain")
    initialisations: tuple[str, ...] = param(
        ("random", "barlow"),
        "starts to compare: random, barlow (Barlow Twins on the training images), a model file, imagenet (for "
        f"{ZOO} networks), or a chain such as imagenet+barlow; differences are taken from the first",
    )
    budgets: tuple[str, ...] = param(
        ("2", "5", "20", "all"),
        "labels to train with: planes (5), a share of them (10%), all, or strokes (3x5 = 5 per "
        "class on each of 3 planes)",
    )
    seeds: int = param(3, "repetitions, each with its own choice of planes and random numbers", min=1, max=1000)
    steps: int = param(200, "gradient steps of every fine-tuning, whatever the budget", min=1)
    pretrain_steps: int = param(300, "gradient steps of every pre-training", min=1)
    rates: tuple[float, ...] = param(
        (),
        "learning rates to try for the first start of every network; the one with the best validation is used for all",
    )
    recipe: str = _recipe("bare")  # what is learned from ImageNet would hide what is compared


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """Prediction in overlapping tiles."""

    tile: int = param(512, "side of the area predicted at once, pixels", min=32, max=16384)
    memory: int = param(
        512, "memory for pixels read and written at a time, megabytes; the network's comes on top", min=16, max=10**6
    )


@dataclass(frozen=True, kw_only=True)
class ObjectSettings(Settings):
    """Objects of a mask, each with a number of its own."""

    smallest: int = param(1, "smallest object that is kept, pixels", min=1)
    fill_holes: bool = param(False, "fill what one object of one class encloses")
    split: bool = param(False, "split objects of one class that touch, at the necks between them")
    neck: float = param(
        0.75, "split where a neck is narrower, on each side, than both objects by this much, pixels", min=0.25, max=1000
    )
    plane_by_plane: bool = param(False, "do not connect the planes of a z-stack: every plane has objects of its own")
