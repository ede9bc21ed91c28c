"""The other methods under the profile ``cpu`` on 1,000 phantoms of 28 px: a step of those that train, and for those
that do not what takes their time.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import methods

from benchmarks.case import Case, LeftOut, Work
from suite import registry
from suite.detector import Context, Images
from suite.training import loop

COUNT, SIZE = 1000, 28
TRAINED = 250
"""Images from which batches are drawn: a step costs no more with more, but what is computed before the first does."""
BLOCKS = 10
"""Into so many parts the images to be scored are cut, of which one is counted."""
Part = Literal["training step", "teacher's training step", "student's training step", "fit", "score"]
PARTS: dict[str, tuple[Part, ...]] = {
    "cfa": ("training step",),
    "cflow": ("training step",),
    "efficientad": ("teacher's training step", "student's training step"),
    "fastflow": ("training step",),
    "ganomaly": ("training step",),
    "kdad": ("training step",),
    "meanshift": ("training step",),
    "patchcore": ("fit", "score"),
    "pixel_knn": ("score",),
    "pretrained_knn": ("score",),
    "random_knn": ("score",),
    "rd4ad": ("training step",),
    "transformaly": ("training step",),
    "uflow": ("training step",),
    "uniad": ("training step",),
}
"""Method -> what of it is measured; several trainings stand in the order in which a fit makes them."""
REPEATS = {"fit": 1, "score": 3}
"""Of what is longer than a step."""
LEFT_OUT = {
    "anomalib/NAME": "not measured: each trains as its library does, not step by step in the suite's loop",
}
"""Method or family -> why nothing of it is measured."""


class _Enough(Exception):  # noqa: N818 - no error: what was sought has been seen
    """Ends a fit at the last of its trainings."""


@lru_cache(maxsize=1)
def trainings(method: str) -> list[tuple[Any, Any]]:
    """Each training of a method as its fit hands it to the training loop: what is trained, and where batches come
    from. A fit stops short of training; what it does before is done.
    """
    found: list[tuple[Any, Any]] = []
    wanted = len(PARTS[method])

    def noted(trainee: Any, given: Images, context: Context, snapshot: Any) -> None:
        found.append((trainee, loop.batches(given, context.device)))
        if len(found) == wanted:
            raise _Enough

    detector = built(method)
    with patch.object(loop, "run", noted):
        try:
            detector.fit(shown()[:TRAINED], methods.context())
        except _Enough:
            return found
    raise RuntimeError(f"a fit of {method} makes {len(found)} trainings, not {wanted}: correct PARTS")


@lru_cache(maxsize=1)
def fitted(method: str) -> Any:
    """A detector that has seen the images; the last one is kept, to be scored with."""
    detector = built(method)
    detector.fit(shown(), methods.context())
    return detector


def built(method: str) -> Any:
    """A detector under the profile; :class:`LeftOut` where something has to be got first."""
    planned = methods.run(method, profile="cpu")
    info = registry.method(method)
    if reason := info.absent(info.parse(planned.train["settings"])):
        raise LeftOut(reason)
    return methods.build(method, profile="cpu")


def shown(seed: int = 0) -> Images:
    """Normal phantoms for seed 0, else half of them with lesions."""
    return methods.lesions(COUNT if seed == 0 else COUNT // 2, seed, SIZE)


def prepared(method: str, part: Part, number: int) -> Work:
    """The work of one part of a method, the ``number``-th that is measured of it."""
    if part.endswith("step"):
        built(method)
        trainee, source = trainings(method)[number]
        trainee.prepare()
        return Work.whole(lambda: trainee.advance(source(trainee.sampler.next())))
    if part == "fit":
        return Work.whole(lambda: (fitted.cache_clear(), fitted(method)))
    detector = fitted(method)

    def score(images: Images) -> None:
        detector.score(images, methods.context(train=shown()))

    return Work(lambda: score(shown(1)), lambda: score(shown(1)[: COUNT // BLOCKS]), BLOCKS)


def cases() -> list[Case]:
    return [_case(method, part, number) for method in PARTS for number, part in enumerate(PARTS[method])]


def _case(method: str, part: Part, number: int) -> Case:
    def make(scratch: Path) -> Work:
        return prepared(method, part, number)

    of = "" if part.endswith("step") else " of 1,000 images"
    return Case(f"{method}: {part}{of}", make, REPEATS.get(part, 5), (method,))
