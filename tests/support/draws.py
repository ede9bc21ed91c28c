"""Draws of views that change nothing, so that what is left can be worked out."""

from __future__ import annotations

from typing import Any

import torch

from suite.dia import views


def unchanged(count: int, **changes: Any) -> views.Draw:
    """``count`` draws that change nothing but what is asked for."""
    drawn = {
        "jittered": torch.ones(count, dtype=torch.bool),
        "brightness": torch.ones(count),
        "contrast": torch.ones(count),
        "saturation": torch.ones(count),
        "hue": torch.zeros(count),
        "grayed": torch.zeros(count, dtype=torch.bool),
        "box": torch.tensor([[1.0, 1.0, 0.0, 0.0]]).repeat(count, 1),
        "contrast_first": True,
    }
    return views.Draw(**{**drawn, **changes})
