"""MS-CaiT, the backbone that U-Flow was published with: the token maps of two image transformers, CaiT-M48 at 448 px
after its block 41 and CaiT-S24 at 224 px after its block 21, each through its network's last norm, at strides 16 and
32 of the larger image. Frozen.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Known, fingerprint, inputs_of, network
from baselines.info.common import Pretrained, Sizes

NETWORKS = (("cait_m48_448.fb_dist_in1k", 448, 40), ("cait_s24_224.fb_dist_in1k", 224, 20))
"""Each network's name in timm, the side of its image, and the number of its last block that is used, from 0."""


class MsCait(Known):
    """``forward`` takes what ``inputs`` makes of uint8 images and gives two maps: B x C x side / 16 x side / 16, and
    one of half the height and width.
    """

    def __init__(self, settings: Pretrained, seed: int) -> None:
        super().__init__(seed)
        bodies: list[Any] = [
            network(settings.model_copy(update={"backbone": name}), seed, img_size=side)
            for name, side, _ in NETWORKS
        ]
        side = NETWORKS[0][1]
        self.inputs = inputs_of(bodies[0], settings.model_copy(update={"input_size": side}), Sizes())
        prints = ":".join(map(fingerprint, bodies))
        self.fingerprint = hashlib.sha256(prints.encode()).hexdigest()
        for body, (_, _, last) in zip(bodies, NETWORKS, strict=True):
            body.prune_intermediate_layers([last], prune_norm=False, prune_head=True)
        self.bodies = nn.ModuleList(bodies)
        self.train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for body, (_, side, last) in zip(self.bodies, NETWORKS, strict=True):
            same = x.shape[-1] == side
            image = x if same else F.interpolate(x, (side, side), mode="bicubic", align_corners=True)
            (found,) = cast(Any, body).forward_intermediates(
                image, indices=[last], norm=True, stop_early=True, intermediates_only=True
            )
            maps.append(found)
        return maps
