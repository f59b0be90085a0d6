"""Predict many files: one after the other, in several processes, or by the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import Died
from .model import Model
from .reading import read, stem
from .settings import PredictSettings
from .streaming import predict_to
from .task import Progress, Task, run, titled
from .unfinished import Finished, fingerprint_of_image, fingerprint_of_model
from .workers import workers
from .writing import FORMATS

POLL = 0.5  # seconds between two looks at processes that work


@dataclass(frozen=True)
class _Job:
    """One file to predict, or a share of it."""

    model: Path
    image: Path
    target: Path
    settings: PredictSettings
    probabilities: bool
    share: tuple[int, int] = (0, 1)

    def task(self) -> Task[list[Path]]:
        return predict_to(
            Model.load(self.model),
            read(self.image),
            self.target,
            self.settings,
            probabilities=self.probabilities,
            share=self.share,
        )

    def part(self, number: int, shares: int) -> _Job:
        """Return a share of this job for another process, which may work in another folder."""
        model, image, target = (path.absolute() for path in (self.model, self.image, self.target))
        return replace(self, model=model, image=image, target=target, share=(number, shares))

    def about(self, model: str) -> str:
        image = fingerprint_of_image(read(self.image))
        return f"{model} {image} {self.settings.tile} {self.probabilities} {self.target.name}"


def predict_files(
    model: str | Path,
    images: Sequence[str | Path],
    out: str | Path,
    settings: PredictSettings | None = None,
    *,
    format: str = "tiff",
    probabilities: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
) -> Task[list[Path]]:
    """Predict image files into a folder, each as `predict_to` does; call again to go on after an interruption.

    Parameters
    ----------
    model
        Model file.
    images
        Image files, as `find` gives them.
    out
        Folder for the masks, each named like its image.
    settings
        Tile size and memory, the latter for each job.
    format
        tiff, png or zarr.
    probabilities
        Also write the probability of every class.
    jobs
        Processes at a time. Where there are fewer files, each is divided among several.
    scheduler
        Address of a dask.distributed scheduler whose workers, all of them, do the work instead. They must have this
        package and see the files under the same paths.

    Yields
    ------
    Progress
        With each tile; with each part of the work where others do it. The reply ``True`` stops.

    Returns
    -------
    list of Path
        The files that are finished.
    """
    folder = Path(out)
    settings = PredictSettings(**(settings or PredictSettings()).as_dict())  # a class that other processes can name
    todo = [
        _Job(
            Path(model),
            Path(image),
            folder / f"{stem(Path(image))}{FORMATS[format]}",
            settings,
            probabilities,
        )
        for image in images
    ]
    names = [job.target.name for job in todo]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"several images are called {Path(twins[0]).stem}; predict them into different folders")
    finished, known = Finished(folder), fingerprint_of_model(Model.load(model))
    made = {job: finished.files(job.about(known)) for job in todo}

    def keep(job: _Job, files: list[Path]) -> None:
        made[job] = [job.target.with_name(file.name) for file in files]
        if files:
            finished.note(job.about(known), made[job])

    left = [job for job in todo if not made[job]]
    if left and (jobs > 1 or scheduler):
        stopped = yield from _elsewhere(left, jobs, scheduler, keep)
        left = [] if stopped else [job for job in left if not made[job]]  # divided ones, which are finished here
    for number, job in enumerate(left, 1):
        title = f" {number}/{len(left)}" if len(left) > 1 else ""
        files, stopped = yield from titled(job.task(), title)
        keep(job, files)
        if stopped:
            break
    if all(made.values()):
        finished.discard()
    return [path for files in made.values() for path in files]


def _elsewhere(
    todo: Sequence[_Job], jobs: int, scheduler: str | None, keep: Callable[[_Job, list[Path]], None]
) -> Task[bool]:
    """Let other processes do the work and hand what they finish to ``keep``; return whether they were stopped."""
    with workers(jobs, scheduler) as (pool, count):
        shares = -(-count // len(todo))
        for job in todo if shares > 1 else ():
            run(job.part(shares, shares).task())  # prepares the files
        parts = [(job, job.part(k, shares)) for job in todo for k in range(shares)]
        futures = {pool.submit(_do, part): job for job, part in parts}
        left = set(futures)
        while left:
            ended, left = wait(left, POLL, FIRST_COMPLETED)
            for future in ended:
                try:
                    keep(futures[future], future.result())
                except BrokenExecutor as error:
                    raise Died(
                        "a process ended without an answer, perhaps for lack of memory; lower the number of jobs"
                    ) from error
            if (yield Progress("predicting", len(parts) - len(left), len(parts))) is True and left:
                return True
    return False


def _do(job: _Job) -> list[Path]:
    return run(job.task())
