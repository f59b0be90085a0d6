"""What a method makes of a person's few strokes: a simulated annotator, peers on the same strokes, scores, tables.

A package of scripts beside the product: ``PYTHONPATH=benchmarks python -m strokes run DATA OUT`` (see `__main__`), or
from a script of one's own, with ``benchmarks`` on the path::

    from strokes.arms import ARMS, Work
    from strokes.annotation import begin
    from strokes.scores import score
    from strokes.sets import load

    cells = load(DATA, "kdsb18_fluo")
    painting = begin(cells, "4x5", seed=0)
    predictor = ARMS["forest"](Work(cells, painting.labels, seconds=10, seed=0))
    print(score(predictor, cells, limit=20).dice)
"""
