"""Claims: one owner at a time, dead owners give way without anybody's help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from suite import claims

RACE = """
import sys, time
from pathlib import Path
from suite import claims
folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
mine = claims.claim(folder)
print("won" if mine else "lost", flush=True)
time.sleep(float(sys.argv[3]))
"""


def _race(folder: Path, count: int, hold: float, before: str = "") -> list[str]:
    """How ``count`` processes fare that claim a folder at the same moment, each holding it for a while."""
    start = str(time.time() + 1.0)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", before + RACE, folder, start, str(hold)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    return [process.communicate(timeout=60)[0].strip() for process in processes]


def _leave_dead(folder: Path) -> None:
    """A claim whose owner was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", RACE, folder, "0", "60"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "won\n"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_of_eight_processes_one_wins(tmp_path: Path) -> None:
    assert sorted(_race(tmp_path, 8, 1.5)) == ["lost"] * 7 + ["won"]


def test_of_eight_processes_one_inherits_from_a_killed_one(tmp_path: Path) -> None:
    _leave_dead(tmp_path)
    dead = claims.owner(tmp_path)
    assert dead is not None
    assert not dead.alive
    assert sorted(_race(tmp_path, 8, 1.5)) == ["lost"] * 7 + ["won"]


def test_an_heir_that_died_while_inheriting_is_inherited_from(tmp_path: Path) -> None:
    _leave_dead(tmp_path)
    dead = claims.owner(tmp_path)
    assert dead is not None
    (tmp_path / "claim.json").rename(tmp_path / f"claim.json.{dead.token}")
    _leave_dead(tmp_path)
    first = claims.owner(tmp_path)
    assert first is not None
    # The dead heir's file now stands where the heir of the second dead owner would.
    (tmp_path / f"claim.json.{dead.token}").rename(tmp_path / f"claim.json.{first.token}")
    held = claims.claim(tmp_path)
    assert held is not None
    held.release()


def test_a_held_claim_refuses_and_a_released_one_does_not(tmp_path: Path) -> None:
    with claims.claim(tmp_path, eval="e") as held:  # type: ignore[union-attr]
        assert claims.claim(tmp_path) is None
        found = claims.owner(tmp_path)
        assert found is not None
        assert (found.alive, found.pid, found.facts) == (True, os.getpid(), {"eval": "e"})
        assert not held.lost
    assert claims.owner(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def _rewrite(folder: Path, silence: float = 0.0, **changes: Any) -> None:
    path = folder / "claim.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    os.utime(path, (time.time() - silence,) * 2)


@pytest.mark.parametrize(("silence", "alive"), [(5.0, True), (61.0, False)])
def test_owners_on_other_hosts_are_judged_by_their_heartbeat(
    tmp_path: Path, silence: float, alive: bool
) -> None:
    held = claims.claim(tmp_path)
    assert held is not None
    _rewrite(tmp_path, silence, host="elsewhere", machine="elsewhere:boot:1")
    found = claims.owner(tmp_path)
    assert found is not None
    assert found.alive is alive
    assert (claims.claim(tmp_path) is None) is alive
    held.release()


def test_a_process_number_used_again_is_no_owner(tmp_path: Path) -> None:
    held = claims.claim(tmp_path)
    assert held is not None
    _rewrite(tmp_path, started="1")
    found = claims.owner(tmp_path)
    assert found is not None
    assert not found.alive
    held.release()


def test_a_spoilt_claim_is_waited_out_then_taken(tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text('{"host": "tru')
    assert claims.claim(tmp_path) is None
    os.utime(tmp_path / "claim.json", (time.time() - 100,) * 2)
    held = claims.claim(tmp_path)
    assert held is not None
    held.release()


def test_the_heartbeat_touches_the_claim_and_notices_its_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    held = claims.claim(tmp_path)
    assert held is not None
    os.utime(tmp_path / "claim.json", (1.0, 1.0))
    time.sleep(0.3)
    assert (tmp_path / "claim.json").stat().st_mtime > 2
    _rewrite(tmp_path, token="another")
    time.sleep(0.3)
    assert held.lost
    held.release()
    assert (tmp_path / "claim.json").exists(), "a lost claim belongs to somebody else"


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: Any) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    held = claims.claim(tmp_path)
    assert held is not None
    assert claims.claim(tmp_path) is None
    held.release()


def test_without_hard_links_of_eight_processes_one_wins_and_one_inherits(tmp_path: Path) -> None:
    refuse = "import os\ndef link(*a): raise PermissionError(1, 'no hard links here')\nos.link = link\n"
    assert sorted(_race(tmp_path, 8, 1.5, refuse)) == ["lost"] * 7 + ["won"]
    dead = claims.owner(tmp_path)
    assert dead is not None
    assert not dead.alive
    assert sorted(_race(tmp_path, 8, 1.5, refuse)) == ["lost"] * 7 + ["won"]


def test_without_hard_links_a_full_disk_leaves_no_half_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"

    def full(path: Path) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "read_bytes", full)
    with pytest.raises(OSError, match="No space"):
        claims._create_without_link(mine, tmp_path / "claim.json")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_of_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def full(path: Path, text: str) -> int:
        write(path, text[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        claims.claim(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_whose_answer_was_lost_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system repeats a request whose answer it lost, and the second try finds the file there."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    held = claims.claim(tmp_path)
    assert held is not None
    held.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [-7200.0, 7200.0])
def test_other_hosts_are_judged_by_the_file_systems_clock_not_by_this_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    held = claims.claim(tmp_path)
    assert held is not None
    right = time.time
    for silence, alive in ((5.0, True), (61.0, False)):
        _rewrite(tmp_path, silence, host="elsewhere", machine="elsewhere:boot:1")
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: right() + wrong)
            found = claims.owner(tmp_path)
        assert found is not None
        assert found.alive is alive
        assert found.silence == pytest.approx(silence, abs=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: right() + wrong)
        heir = claims.claim(tmp_path)
    assert heir is not None
    heir.release()
    held.release()
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_looking_at_another_hosts_claim_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claims.claim(tmp_path)
    assert held is not None
    _rewrite(tmp_path, 5.0, host="elsewhere", machine="elsewhere:boot:1")
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode != "rb":
            raise OSError(30, "Read-only file system")
        return opened(path, mode, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", read_only)
        found = claims.owner(tmp_path)
    assert found is not None
    assert found.alive
    held.release()


def test_a_claim_is_opened_before_its_age_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system's client may answer a bare stat from what it remembers, up to a minute old."""
    held = claims.claim(tmp_path)
    assert held is not None
    stat = Path.stat

    def stale(path: Path, **named: Any) -> os.stat_result:
        assert path.name != "claim.json", "a bare stat of a claim"
        return stat(path, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stale)
        found = claims.owner(tmp_path)
        assert claims.claim(tmp_path) is None
    assert found is not None
    assert found.silence < 5
    held.release()


def test_what_killed_claimants_left_is_removed_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / ".claim.json.0ld", tmp_path / ".claim.json.0new"
    heir = tmp_path / "claim.json.0ld"
    for path in (old, new, heir):
        path.touch()
    for path in (old, heir):
        os.utime(path, (time.time() - 2 * claims.LITTER,) * 2)
    with claims.claim(tmp_path):  # type: ignore[union-attr]
        assert (old.exists(), heir.exists(), new.exists()) == (False, False, True)
