"""Checkpoints of long training: everything that changes, written atomically now and then, so that a killed
run goes on to the bit where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from suite.detector import Context
from suite.tensors import read_torch, write_torch

logger = logging.getLogger("suite")
NAME = "resume.pt"


class Checkpoint:
    """Ties a training state to ``resume.pt`` in the context's folder; without a folder only the request to
    stop counts.
    """

    def __init__(
        self,
        context: Context,
        state: Callable[[], Mapping[str, Any]],
        restore: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.context, self.state, self.restore = context, state, restore
        self.path = context.folder / NAME if context.folder is not None else None
        self.last = time.monotonic()

    def resume(self) -> bool:
        """Go on from the checkpoint if there is a readable one; a broken one is dropped and training starts
        over. RuntimeError for one that is not of this training, as another version may have left it.
        """
        if self.path is None or not self.path.exists():
            return False
        try:
            state = read_torch(self.path, self.context.device)
        except Exception as error:  # whatever a spoilt file raises: no work but its own is lost
            logger.warning("%s: cannot be read (%s); the training starts over", self.path, error)
            self.path.unlink(missing_ok=True)
            return False
        try:
            self.restore(state)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            # Half of it may have been taken over, so this attempt is lost.
            self.path.unlink(missing_ok=True)
            raise RuntimeError(
                f"{self.path}: does not fit this training ({error}); it was removed, and the next attempt starts afresh"
            ) from error
        return True

    def save(self) -> None:
        """Write the state now."""
        if self.path is not None:
            write_torch(self.path, dict(self.state()))
        self.last = time.monotonic()

    def pulse(self) -> None:
        """After each step: write when it is time or when the run is asked to stop (which then raises
        Interrupted).
        """
        if self.context.stop():
            self.save()
            self.context.pulse()
        if time.monotonic() - self.last >= self.context.checkpoint_every:
            self.save()
