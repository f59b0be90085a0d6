"""Compare methods on the same simulated strokes.

python -m strokes run DATA OUT [--sets kdsb18_fluo ...] [--arms forest btunet-random ...] [--budgets 1x3 4x5 2 ...]
    [--efforts 10s 60s 200steps ...] [--seeds 3] [--rounds 5] [--test 20] [--network ...] [--recipe ...]
python -m strokes report OUT [--against forest]

DATA holds one folder per set: ``images``, ``masks``, ``split.json``. Finished runs are skipped, so call it again to go
on, and several at once on different sets if you like.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from btunet import FinetuneSettings, PretrainSettings

from .arms import ABLATIONS, ARMS, PIXELS, Arm, network_arms
from .bench import Plan, bench
from .report import report
from .sets import load, names_in

DEFAULTS = {f.name: f.default for f in fields(Plan)}


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    chosen = _parser().parse_args(words)
    if chosen.verb == "run":
        _run(chosen)
    else:
        print(report(chosen.out, chosen.against, chosen.test))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="strokes", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    _add_run(verbs.add_parser("run", help="make the runs that are missing"))
    summary = verbs.add_parser("report", help="write report.md and curves")
    summary.add_argument("out", type=Path, help="folder of rows.csv")
    summary.add_argument("--against", nargs="+", default=["forest"], help="arms to compare with: the best of them")
    summary.add_argument("--test", type=int, help="only runs with this limit of test images")
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("data", type=Path, help="folder of the sets")
    run.add_argument("out", type=Path, help="folder for rows.csv and encoders")
    run.add_argument("--sets", nargs="+", help="by default all there are")
    run.add_argument("--arms", nargs="+", help="by default all but without-PART; network arms take the settings below")
    run.add_argument("--budgets", nargs="+", default=DEFAULTS["budgets"])
    run.add_argument("--efforts", nargs="+", default=DEFAULTS["efforts"], help="of network arms: 60s or 200steps")
    run.add_argument("--seeds", type=int, default=3, help="how many")
    run.add_argument("--first-seed", type=int, default=0)
    run.add_argument("--rounds", type=int, default=DEFAULTS["rounds"], help="of corrections")
    run.add_argument("--corrections", type=int, default=DEFAULTS["corrections"], help="strokes per image and round")
    run.add_argument("--fresh", type=int, default=DEFAULTS["fresh"], help="further images opened in every round")
    run.add_argument("--test", type=int, default=0, help="test images at most; 0 = all")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--memory", type=int, default=DEFAULTS["megabytes"], help="megabytes to keep features in")
    run.add_argument("--network", help="of the network arms")
    run.add_argument("--recipe", help="of the network arms")
    run.add_argument("--pretrain-minutes", type=float)
    run.add_argument("--pretrain-steps", type=int)


def _run(chosen: argparse.Namespace) -> None:
    from btunet.device import mind_the_machine

    mind_the_machine()  # too late for how threads wait, which torch was told when the arms were imported
    import torch

    torch.set_num_threads(chosen.threads)
    arms = {**_arms(chosen), **(ABLATIONS if chosen.arms else {})}  # only those that are asked for
    unknown = [name for name in chosen.arms or () if name not in arms]
    if unknown:
        raise SystemExit(f"there is no arm {unknown[0]!r}; choose among {', '.join(arms)}")
    plan = Plan(
        {name: arms[name] for name in chosen.arms or arms},
        tuple(chosen.budgets),
        tuple(range(chosen.first_seed, chosen.first_seed + chosen.seeds)),
        tuple(chosen.efforts),
        chosen.rounds,
        chosen.corrections,
        chosen.fresh,
        chosen.test,
        chosen.threads,
        chosen.memory,
    )
    for name in chosen.sets or names_in(chosen.data):
        bench(load(chosen.data, name), chosen.out, plan, lambda line: print(line, flush=True))


def _arms(chosen: argparse.Namespace) -> Mapping[str, Arm]:
    """Return all arms; those of networks with what was chosen, which is then part of their names."""
    shared = {k: v for k, v in {"network": chosen.network, "recipe": chosen.recipe}.items() if v}
    effort = {"minutes": chosen.pretrain_minutes, "steps": chosen.pretrain_steps}
    before = shared | {k: v for k, v in effort.items() if v}
    if not before:
        return ARMS
    suffix = "".join(f"/{v}" for v in shared.values())
    networks = network_arms(PretrainSettings(**before), FinetuneSettings(**shared), suffix)
    return {**PIXELS, **networks}


if __name__ == "__main__":
    main()
