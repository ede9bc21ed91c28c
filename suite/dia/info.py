"""Settings of CSI and DIA, without torch. Defaults follow the paper; where paper and released code disagree,
both are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from suite import registry
from suite.data.identity import DataSettings, data_identity
from suite.dia.stable_model import missing_model
from suite.registry import STAND_IN, MethodInfo, Need
from suite.settings import Int, Settings, canonical, setting

TIMESTEPS = 1000
"""T, the length of the diffusion schedule."""


def _ordered(steps: tuple[int, int]) -> tuple[int, int]:
    low, high = steps
    if not 1 <= low <= high < TIMESTEPS:
        raise ValueError(
            f"a step range is [low, high] with 1 <= low <= high < {TIMESTEPS}, not [{low}, {high}]"
        )
    return steps


def _within(times: tuple[int, int]) -> tuple[int, int]:
    low, high = times
    if not 0 <= low <= high < TIMESTEPS:
        raise ValueError(f"times are [low, high] with 0 <= low <= high < {TIMESTEPS}, not [{low}, {high}]")
    return times


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


StepRange = Annotated[tuple[Int, Int], AfterValidator(_ordered)]
TimeRange = Annotated[tuple[Int, Int], AfterValidator(_within)]
Positive = Annotated[Int, Field(ge=1)]
MODEL_NAME = r"^\w[\w.-]*/\w[\w.-]*$"


Shortcut = Literal["one_channel", "one_resampling", "small_maps", "computed_twice", "folded_norms"]
"""Ways of computing the same with less: gray images stay one channel until the network; flips, quarter turns and the
crop are one resampling, and what views share is computed once; small maps are not convolved with their padding, and
normed as rows; the largest maps of large batches are computed again instead of being kept; batch norms are folded into
the convolutions for scoring.
"""


class Contrast(Settings):
    """NT-Xent (Eq. 6, 7, 9). ``norm = "rows"`` divides by the number of rows as the released code does,
    ``eq7`` also by the positive pairs.
    """

    norm: Literal["rows", "eq7"] = setting("rows")
    tau: float = setting(0.5, gt=0)
    gamma: float = setting(1.0, ge=0)


class DesignedContrast(Contrast):
    """``design``: which pairs of an image and its dissolved self count (Figures 3 and 6)."""

    design: Literal["a", "b", "b_shift"] = setting("a")


class Network(Settings):
    """ResNet18. ``stem``: 7x7 with pooling (ImageNet) or 3x3 (CIFAR). ``width``: channels of the first stage,
    in eights: torch 2.14 corrupts memory in the backward pass of a strided 1x1 convolution of fewer on a CPU.
    """

    stem: Literal["imagenet", "cifar"] = setting("imagenet")
    width: Annotated[Int, Field(ge=8, multiple_of=8)] = setting(64)


class Train(Settings):
    """Training of the contrastive model. ``epoch_size``: samples an epoch, drawn without replacement.

    ``last_batch``: what becomes of the rest that does not fill a batch: ``carry`` it into the next epoch,
    ``partial`` (a smaller batch) or ``drop``. ``warmup``: epochs of linear warm-up before the cosine.
    ``precision``: ``bf16`` computes the network's products in bfloat16 (autocast), ``tf32`` on a CUDA device with
    factors of ten bits; the losses, the weights, the diffusion model and scoring stay in full single precision.
    ``plain``: shortcuts to do without, in training and scoring (``one_channel``, ``one_resampling``,
    ``small_maps``, ``computed_twice``, ``folded_norms``): the same functions but for rounding, slower, to see that
    a result does not hang on them.
    """

    batch: Annotated[Int, Field(ge=2)] = setting(32)
    epochs: Positive = setting(200)
    epoch_size: Positive = setting(200)
    last_batch: Literal["carry", "partial", "drop"] = setting("carry")
    optimiser: Literal["adam", "lars", "sgd"] = setting("adam")
    lr: float = setting(1e-3, gt=0)
    warmup: Annotated[float, Field(ge=0)] = setting(0.0)
    weight_decay: Annotated[float, Field(ge=0)] = setting(1e-6)
    views: Literal["flip_simclr", "simclr"] = setting("flip_simclr")
    precision: Literal["full", "tf32", "bf16"] = setting("full", neutral="full")
    plain: Annotated[tuple[Shortcut, ...], AfterValidator(_in_order)] = setting((), neutral=[])


def _a_data_set(name: str) -> str:
    try:
        found = registry.dataset(name)
    except registry.UnknownNameError as error:
        raise ValueError(str(error)) from None
    if found.origin:
        raise ValueError("a folder has no place in a key: give a data set that is known by its name")
    return name


class DissolveDiffusion(Settings):
    """Eq. 4 with t drawn from U(steps). ``range``: what the UNet is shown, [-1, 1] (``symmetric``, its own
    range) or [0, 1] (``unit``, as the released code does: the default, since it was ahead on PneumoniaMNIST's
    validation split; a stronger change of the image at the same t). ``draw``: one t and one UNet pass for
    every image, or, as the released code does and by the same measure better, one t a batch, drawn anew for
    each of the K shifts, so K passes a step. ``source``: dissolve with the model of another data set, at that
    set's own size and normal class, instead of one trained on the run's own (Figures 4, 7 to 11). ``bank``: draw t
    from the multiples of so many steps in the range, whose dissolved training images are computed once and
    kept for all runs (:mod:`suite.dia.bank`); 0 draws from every step of the range and dissolves as it trains.
    """

    op: Literal["diffusion"] = setting("diffusion")
    steps: StepRange = setting((30, 130))
    size: Annotated[Int, Field(ge=16, multiple_of=8)] = setting(32)
    range: Literal["symmetric", "unit"] = setting("unit")
    draw: Literal["per_image", "per_shift_batch"] = setting("per_shift_batch")
    weights: Literal["ema", "raw"] = setting("ema")
    source: Annotated[str, AfterValidator(_a_data_set)] | None = setting(None, neutral=None)
    bank: Annotated[Int, Field(ge=0, lt=TIMESTEPS)] = setting(0, neutral=0)

    @model_validator(mode="after")
    def _holds_a_step(self) -> Self:
        if self.bank and not self.lattice:
            low, high = self.steps
            raise ValueError(
                f"dissolve.steps [{low}, {high}] hold no multiple of dissolve.bank = {self.bank}: make the bank finer"
            )
        return self

    @property
    def lattice(self) -> tuple[int, ...]:
        """The steps t that a bank holds; none without a bank."""
        low, high = self.steps
        return tuple(range(-(-low // self.bank) * self.bank, high + 1, self.bank)) if self.bank else ()


class DissolveBlur(Settings):
    """The heuristic alternatives (supplement B): a blur of ``kernel`` pixels at the dissolving resolution."""

    op: Literal["gaussian", "median"] = setting("gaussian")
    kernel: Annotated[Int, Field(ge=3)] = setting(7)
    size: Annotated[Int, Field(ge=16)] = setting(32)


class DissolveResize(Settings):
    """Only down to the dissolving resolution and back ("Resize Only", Table 8)."""

    op: Literal["resize"] = setting("resize")
    size: Annotated[Int, Field(ge=4)] = setting(32)


class DissolveNone(Settings):
    """The third branch without dissolving: a control."""

    op: Literal["none"] = setting("none")


class DissolveStable(Settings):
    """A step of Stable Diffusion in its latent space (supplement D): encoded at ``size`` pixels, one reverse
    step, decoded. ``model``: its name at Hugging Face, owner/name; it is looked for below the folder
    ``SUITE_MODELS`` and in Hugging Face's cache, and never downloaded by itself. Needs the extra
    ``stable-diffusion``.
    """

    op: Literal["stable_diffusion"] = setting("stable_diffusion")
    steps: StepRange = setting((30, 130))
    size: Annotated[Int, Field(ge=16, multiple_of=8)] = setting(512)
    model: Annotated[str, Field(pattern=MODEL_NAME)] = setting("stable-diffusion-v1-5/stable-diffusion-v1-5")


DISSOLVERS: dict[str, type[Settings]] = {
    "diffusion": DissolveDiffusion,
    "gaussian": DissolveBlur,
    "median": DissolveBlur,
    "resize": DissolveResize,
    "none": DissolveNone,
    "stable_diffusion": DissolveStable,
}
"""The settings of each dissolver, by its ``op``."""


class Diffusion(Settings):
    """Training of the diffusion model (supplement A.1). ``ratio``: the part of its images that it sees (Table
    3).

    ``data``: train on the normal training images, on the whole training split (with a contamination: on the
    run's own contaminated training set), or on every image of the set.
    ``lr`` 8e-5, two accumulated batches and 25,000 steps are the paper's. ``times``: the part of the schedule
    it is trained on (the paper: all of it; a small budget is better spent where dissolving uses it). ``plain``: the
    UNet with its library's own layers instead of quicker ones of the same function (:mod:`suite.dia.unet`).
    """

    ratio: float = setting(1.0, gt=0, le=1)
    data: Literal["normal", "train", "all"] = setting("normal")
    dim: Annotated[Int, Field(ge=8, multiple_of=8)] = setting(32)
    steps: Positive = setting(25_000)
    batch: Positive = setting(256)
    accumulate: Positive = setting(2)
    lr: float = setting(8e-5, gt=0)
    ema: float = setting(0.995, ge=0, lt=1)
    loss: Literal["l1", "l2"] = setting("l1")
    times: TimeRange = setting((0, TIMESTEPS - 1))
    seed: Literal["shared", "per_run"] = setting("shared")
    plain: bool = setting(False, neutral=False)


class Scoring(Settings):
    """Eq. 10. ``views`` random crops a shift, averaged; ``crop``: their fixed share of the area."""

    views: Positive = setting(10)
    crop: float = setting(0.54, gt=0, le=1)
    shift: Literal["train", "rotate"] = setting("train")
    balance: bool = setting(True)


class Contrastive(Settings):
    """What CSI and DIA share."""

    shift: Literal["rotate", "perm"] = setting("rotate")
    network: Network = setting(Network())
    train: Train = setting(Train())


class CsiTraining(Contrastive):
    """CSI: two branches."""

    contrast: Contrast = setting(Contrast())


class DiaTraining(Contrastive):
    """DIA with a dissolver that needs no training."""

    contrast: DesignedContrast = setting(DesignedContrast())


class DiaDiffusion(DiaTraining):
    """DIA as in the paper: the dissolver is a diffusion model."""

    dissolve: DissolveDiffusion = setting(DissolveDiffusion())
    diffusion: Diffusion = setting(Diffusion())

    @model_validator(mode="after")
    def _trained_where_it_is_used(self) -> Self:
        (low, high), (first, last) = self.dissolve.steps, self.diffusion.times
        if low < first or high > last:
            raise ValueError(
                f"dissolve.steps [{low}, {high}] leaves diffusion.times [{first}, {last}], "
                "the steps that the diffusion model is trained on: widen diffusion.times"
            )
        return self


class DiaBlur(DiaTraining):
    """DIA-Gaussian and DIA-Median."""

    dissolve: DissolveBlur = setting(DissolveBlur())


class DiaResize(DiaTraining):
    """DIA with resizing only."""

    dissolve: DissolveResize = setting(DissolveResize())


class DiaNone(DiaTraining):
    """DIA whose third branch is not dissolved."""

    dissolve: DissolveNone = setting(DissolveNone())


class DiaStable(DiaTraining):
    """DIA with the steps of Stable Diffusion."""

    dissolve: DissolveStable = setting(DissolveStable())


_BY_OP: dict[str, type[DiaTraining]] = {
    "diffusion": DiaDiffusion,
    "gaussian": DiaBlur,
    "median": DiaBlur,
    "resize": DiaResize,
    "none": DiaNone,
    "stable_diffusion": DiaStable,
}


def _dia_training(nested: Mapping[str, Any]) -> type[Settings]:
    dissolve = nested.get("dissolve", {})
    op = dissolve.get("op", "diffusion") if isinstance(dissolve, Mapping) else "diffusion"
    return _BY_OP.get(op, DiaDiffusion) if isinstance(op, str) else DiaDiffusion


def needs(training: Settings, data: Mapping[str, Any], seed: int) -> tuple[Need, ...]:
    """The diffusion model, and the training images as it dissolves them where a bank is asked for.

    The model is named by its own settings, its data, its size and its seed.

    It does not see the contamination, except where ``diffusion.data = "train"`` asks for the training set as
    it is: then which anomalies are in it hangs on the run's seed. One model of all of a set's classes serves
    each of its one-class problems (Table 13), where the training images are the same for all.
    """
    if not isinstance(training, DiaDiffusion):
        return ()
    settings = canonical(training.diffusion)
    per_run = settings.pop("seed") == "per_run"
    name, which = training.dissolve.source, training.diffusion.data
    foreign = _foreign(name, data) if name is not None else None
    seen = dict(foreign or data)
    if "contamination" in seen and which == "train":
        seen["contamination_seed"] = seed
    else:
        seen.pop("contamination", None)
    if which == "train" and (classes := _problems_share(seen)):
        seen["normal_class"] = list(classes)
    identity = {
        "data": seen,
        "size": training.dissolve.size,
        "seed": seed if per_run else 0,
        "settings": settings,
    }
    model = Need(
        "diffusion",
        1,
        identity,
        "suite.dia.diffusion:make",
        "diffusion model",
        dataset=name if name is not None and foreign else "",
        data=foreign,
    )
    return (model, *_banks(training.dissolve, model, data, seed))


def _banks(settings: DissolveDiffusion, model: Need, data: Mapping[str, Any], seed: int) -> Iterator[Need]:
    """One for each step of the lattice, so that ranges share them. The seed matters where it draws a contamination."""
    seen = {**data, "contamination_seed": seed} if data.get("contamination") else dict(data)
    for t in settings.lattice:
        identity = {
            "data": seen,
            "size": settings.size,
            "range": settings.range,
            "weights": settings.weights,
            "t": t,
        }
        yield Need(
            "bank",
            1,
            identity,
            "suite.dia.bank:make",
            "bank of dissolved training images",
            needs=(model,),
            role=f"bank {t}",
        )


def absent(training: Settings) -> str:
    """What has to be got before DIA can dissolve by these settings, in one line; empty when nothing has."""
    dissolver = getattr(training, "dissolve", None)
    return missing_model(dissolver.model) if isinstance(dissolver, DissolveStable) else ""


def _foreign(name: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The identity of another data set, split by the same rule; None when it is the run's own after all."""
    found = registry.dataset(name)
    if found.name == data["name"]:
        return None
    chosen = {rule: data[rule] for rule in ("split", "group") if rule in data}
    return data_identity(found, DataSettings.parse(chosen))


def _problems_share(data: Mapping[str, Any]) -> tuple[int, ...]:
    """The set's own normal classes if its training split holds the same images whichever class is normal, so
    that these can stand for any; else empty.
    """
    info = registry.datasets().get(str(data["name"]).removeprefix(STAND_IN))
    chosen_by_class = (
        data.get("split") != "paper" or {"contamination", "max_train", "validation"} & data.keys()
    )
    return info.normal_classes if info is not None and info.fixed_training and not chosen_by_class else ()


CSI = MethodInfo(
    name="csi",
    version=1,
    title="CSI",
    implementation="suite.dia.method:Dia",
    training=lambda nested: CsiTraining,
    models=(CsiTraining,),
    scoring=Scoring,
    offers={kind: f"suite.dia.offers:{kind}" for kind in ("mask", "cost", "memory")},
    citation="Tack et al., NeurIPS 2020",
)
DIA = MethodInfo(
    name="dia",
    version=1,
    title="DIA",
    implementation="suite.dia.method:Dia",
    training=_dia_training,
    models=(DiaDiffusion, DiaBlur, DiaResize, DiaNone, DiaStable),
    scoring=Scoring,
    needs=needs,
    absent=absent,
    offers={kind: f"suite.dia.offers:{kind}" for kind in ("strip", "mask", "cost", "memory")},
    citation="Shi et al., ECCV 2024",
)
