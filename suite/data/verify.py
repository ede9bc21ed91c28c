"""Is a packed set what it should be? (Supplement A.2 gives the counts.) ``suite data verify`` says what is found.

*Wrong* is what must not be: pixels that are not those the manifest names, another content than the official one,
other counts than were published or are known to be served, equal images parted by a split that was dealt here.
Faults that the official set itself has (equal images, conflicting labels, images in two splits) are facts:
they are counted and named, and ``data.split = "clean"`` works around them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from suite.data import hashing
from suite.data.build import beside
from suite.data.pack import Pack
from suite.data.source import SPLITS


@dataclass(frozen=True)
class Near:
    """Groups of near-duplicates (:mod:`suite.data.phash`): how many, the images in them, the largest, and how
    many stand in two splits.
    """

    groups: int
    images: int
    largest: int
    across: dict[str, int]


@dataclass(frozen=True)
class Verified:
    """What was found. ``official``: the digest that the content should have, where it is known. ``counts``:
    images by split and class. ``published``: by class. ``duplicates``: images that repeat another one of their
    split; ``leaks``: images in two splits (``train+test``); ``conflicts``: images with two labels. ``wrong`` and
    ``notes``: a line each.
    """

    name: str
    size: int
    digest: str
    official: str | None
    counts: dict[str, dict[str, int]]
    published: dict[str, int]
    duplicates: dict[str, int]
    leaks: dict[str, int]
    conflicts: int
    near: Near | None
    wrong: tuple[str, ...]
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self) | {"ok": not self.wrong}


def verify(pack: Pack, *, near: bool = False) -> Verified:
    """Look through a pack: every pixel is hashed anew. ``near``: look for near-duplicates too."""
    hashes = hashing.pixel_hashes(pack.images)
    found = hashing.repeats(hashing.groups(hashes), pack.classes, pack.splits)
    size = int(pack.images.shape[-1])
    digest = hashing.digest_of(hashes, pack.classes, pack.splits)
    official = (beside(pack.info, "DIGESTS") or {}).get((pack.name, size))
    named = hashing.faults(hashes, pack.classes, pack.splits, pack.ids)
    return Verified(
        name=pack.name,
        size=size,
        digest=digest,
        official=official,
        counts=_counts(pack),
        published=dict(pack.info.published),
        duplicates={s: more for s in SPLITS if (more := found.extra(s))},
        leaks={"+".join(both): len(at) for both, at in found.across.items() if len(at)},
        conflicts=len(found.conflicting),
        near=_near(pack) if near else None,
        wrong=(*_content(pack, digest, official), *_miscounted(pack), *_parted(pack, hashes)),
        notes=tuple(dict.fromkeys((*pack.notes, *named))),
    )


def _counts(pack: Pack) -> dict[str, dict[str, int]]:
    names = pack.info.class_names
    found: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        numbers, counts = np.unique(pack.classes[pack.splits == split], return_counts=True)
        if len(numbers):
            found[split] = {
                names[c] if c < len(names) else f"class {c}": n
                for c, n in zip(numbers.tolist(), counts.tolist(), strict=True)
            }
    return found


def _content(pack: Pack, digest: str, official: str | None) -> list[str]:
    wrong = []
    if digest != pack.digest:
        wrong.append(f"the pack has changed since it was made: delete {pack.folder}")
    if official and digest != official:
        wrong.append(f"not the official content: digest {digest[:12]} instead of {official[:12]}")
    return wrong


def _miscounted(pack: Pack) -> list[str]:
    """Classes and given splits that have other numbers of images than were published."""
    info, wrong = pack.info, []
    for at, name in enumerate(info.class_names):
        count = int((pack.classes == at).sum())
        legal = {counts[name] for counts in (info.published, info.served) if name in counts}
        if legal and count not in legal:
            expected = " or ".join(f"{n:,}" for n in sorted(legal))
            wrong.append(f"{name}: {count:,} images instead of {expected}")
    normal = np.isin(pack.classes, info.normal_classes)
    for split, expected_pair in info.counts.items():
        here = pack.splits == split
        pair = int((here & normal).sum()), int((here & ~normal).sum())
        # A split dealt here moves by an image or two, since equal images are not parted.
        if pair != tuple(expected_pair) and not pack.dealt.any():
            wrong.append(
                f"{split}: {pair[0]:,} normal and {pair[1]:,} anomalous images instead of "
                f"{expected_pair[0]:,} and {expected_pair[1]:,}"
            )
    return wrong


def _parted(pack: Pack, hashes: np.ndarray[Any, np.dtype[np.uint8]]) -> list[str]:
    """Equal images on two sides of a split that was dealt here."""
    dealt = pack.dealt
    if not dealt.any():
        return []
    found = hashing.repeats(hashing.groups(hashes[dealt]), pack.classes[dealt], pack.splits[dealt])
    return [
        f"{len(at)} image(s) stand in both {one} and {other}, which the split should not have done: "
        f"delete {pack.folder}"
        for (one, other), at in found.across.items()
        if len(at)
    ]


def _near(pack: Pack) -> Near:
    _, group, sizes = np.unique(pack.near, return_inverse=True, return_counts=True)
    found = hashing.repeats(group.astype(np.int64), pack.classes, pack.splits)
    several = sizes > 1
    return Near(
        groups=int(several.sum()),
        images=int(sizes[several].sum()),
        largest=int(sizes.max(initial=0)),
        across={"+".join(both): len(at) for both, at in found.across.items() if len(at)},
    )
