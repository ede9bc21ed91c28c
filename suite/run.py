"""One run to its outcome: data, artefacts, fit, scoring, and what is written when.

Whatever goes wrong leaves the run ``failed`` (or ``interrupted``) with a reason in one line, the traceback in
``log.txt``, and no outcome; the exception goes on to the caller. What was finished before is never done
again.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from suite import claims, files
from suite.data.errors import DataFault, DataMissing
from suite.detector import Interrupted
from suite.job import Busy, Conditions, run_to_json
from suite.outcome import Outcome
from suite.recorder import Recorder
from suite.store import Stage, StateName, Store

if TYPE_CHECKING:
    from suite.claims import Claim
    from suite.plan import Run
    from suite.registry import Need


def execute(run: Run, store: Store, conditions: Conditions | None = None) -> Outcome:
    """Carry out a run, or return its outcome if it is done.

    Raises Busy (another process has it), Interrupted (asked to stop; it can go on), DataMissing (nothing was
    begun), and whatever went wrong in the data or the method, after noting the run as failed.
    """
    conditions = conditions or Conditions()
    done = None if conditions.force else store.outcome(run.train_key, run.eval_key)
    if done is not None:
        return done
    folder = store.run_folder(run.train_key)
    claim = store.claim(folder, eval=run.eval_key)
    if claim is None:
        raise Busy(f"running on {claims.owner(folder) or 'another process'}")
    with claim:
        # Between the look and the claim another process may have finished it.
        done = None if conditions.force else store.outcome(run.train_key, run.eval_key)
        return done if done is not None else _Guarded(run, store, conditions, claim).carry_out()


def make_artefact(need: Need, store: Store, conditions: Conditions) -> None:
    """Make an artefact, unless it is there and the conditions do not force it.

    Raises Busy, Interrupted and DataMissing like :func:`execute`, and whatever goes wrong, after noting it.
    """
    from suite import artefacts

    recorder = Recorder(store.artefact_folder(*need.place), conditions.progress)
    recorder.log(f"{need}, {conditions.device}")
    try:
        artefacts.make(need, store, conditions, conditions.stop, anew=bool(conditions.force))
    except (Busy, Interrupted, DataMissing):
        raise
    except Exception as error:
        recorder.log(traceback.format_exc())
        if not files.surroundings(error):
            with suppress(OSError):
                store.fail_artefact(need, reason_of(error))
        raise


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    if told := files.surroundings(error):
        return told
    text = " ".join(str(error).split()) or type(error).__name__
    if out_of_memory(error):
        told = ". ".join(text.split(". ")[:2])  # the rest is about the allocator's settings
        return f"out of memory (fewer at a time: -j or --per-device; a smaller batch): {told}"[:300]
    plain = isinstance(error, DataFault | DataMissing | FloatingPointError | Busy)
    line = text if plain or not str(error) else f"{type(error).__name__}: {text}"
    return line if len(line) <= 300 else f"{line[:297]}..."


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there was no memory left, of the device or of the machine."""
    # torch's is known by its name, so that torch need not be imported; its CPU allocator has none of its own.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


class _Guarded:
    """One attempt at a run, under its claim."""

    def __init__(self, run: Run, store: Store, conditions: Conditions, claim: Claim) -> None:
        self.run, self.store, self.conditions, self.claim = run, store, conditions, claim
        self.folder = store.run_folder(run.train_key)
        self.recorder = Recorder(self.folder, conditions.progress)

    def carry_out(self) -> Outcome:
        from suite.attempt import Attempt

        run, conditions = self.run, self.conditions
        files.sweep(self.folder)
        self.store.clear(run)
        self._describe()
        self.recorder.log(
            f"{run.method} on {run.dataset}, seed {run.seed}, evaluation {run.eval_key[:12]}, "
            f"{conditions.device}, {conditions.threads} thread(s)"
        )
        work = Attempt(run, self.store, conditions, self.folder, self.recorder, self.claim)
        finished = False
        try:
            outcome = work.outcome()
            finished = True
        except (Interrupted, KeyboardInterrupt):
            if self.claim.lost:
                raise Busy("another process took the run over") from None
            self._note("interrupted", "asked to stop", work.stage)
            raise
        except DataMissing as error:
            self.recorder.log(reason_of(error))
            raise
        except Exception as error:
            self.recorder.log(traceback.format_exc())
            self._note("interrupted" if files.surroundings(error) else "failed", reason_of(error), work.stage)
            raise
        finally:
            self.recorder.close(finished=finished)
        self.recorder.log(f"done: AUROC {outcome.metrics['auroc']:.4f}")
        return outcome

    def _note(self, state: StateName, reason: str, stage: Stage) -> None:
        self.recorder.log(f"{state}: {reason}")
        try:
            self.store.fail(self.run, reason, stage=stage, state=state)
        except OSError as error:  # a full disk: the dead claim will tell
            self.recorder.log(f"could not note it: {error}")

    def _describe(self) -> None:
        """``settings.json``: what this folder is. Twelve digits name it, so the whole key is compared here."""
        path = self.folder / "settings.json"
        known = files.peek_json(path).get("train_key", self.run.train_key)
        if known != self.run.train_key:
            raise RuntimeError(
                f"{self.folder} belongs to the key {known}, not {self.run.train_key}: move it away"
            )
        if not path.exists() or not files.peek_json(path):
            files.write_json(path, {"format": 1, **run_to_json(self.run)})
