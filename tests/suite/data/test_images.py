"""Sets of image files, whatever they come in: the same pack, in memory that does not grow with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from images import as_folder, as_tar, as_zip, png

from suite.data import pack as packs
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings
from suite.registry import dataset

SMALL = DataSettings(size=16)
SARS = dataset("sars_cov_2")
FILES = {
    f"{kind}/{kind} ({n}).png": png(n + at) for at, kind in ((0, "COVID"), (9, "non-COVID")) for n in range(9)
}
WAYS: dict[str, tuple[str, Callable[[Path, dict[str, bytes]], Path]]] = {
    "folder": ("sars_cov_2", as_folder),
    "zip": ("sars_cov_2.zip", as_zip),
    "tar": ("sars_cov_2.tar.gz", as_tar),
}


@pytest.mark.parametrize("way", WAYS)
def test_container_order_and_levels_leave_no_trace(tmp_path: Path, way: str) -> None:
    reference = packs.load(
        SARS, SMALL, tmp_path / "store", as_folder(tmp_path / "plain/sars_cov_2", FILES).parent
    )
    name, write = WAYS[way]
    root = tmp_path / "root"
    write(root / name, {f"some level/{file}": FILES[file] for file in reversed(FILES)})
    pack = packs.load(SARS, SMALL, tmp_path / "other", root)
    assert pack.digest == reference.digest
    for array in ("images", "classes", "splits", "ids"):
        assert (getattr(pack, array) == getattr(reference, array)).all()
    one, other = (json.loads((p.folder / "manifest.json").read_text()) for p in (reference, pack))
    assert one["origin"] == other["origin"]


def test_gray_sets_have_one_channel_and_coloured_ones_three(tmp_path: Path) -> None:
    colour = {name: png(n, colour=True, kind="JPEG") for n, name in enumerate(FILES)}
    as_folder(tmp_path / "sars_cov_2", colour)
    assert packs.load(SARS, SMALL, tmp_path / "store", tmp_path).images.shape == (18, 1, 16, 16)
    kvasir = dataset("kvasir_polyp")
    as_folder(
        tmp_path / "kvasir_polyp", {f"{c}/{n}.jpg": png(n) for c in kvasir.class_names for n in range(3)}
    )
    assert packs.load(kvasir, SMALL, tmp_path / "store", tmp_path).images.shape == (24, 3, 16, 16)


def test_without_files_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="suite data add sars_cov_2 PATH"):
        packs.load(SARS, SMALL, tmp_path / "store", tmp_path)
    assert not list((tmp_path / "store").rglob("*.part"))


def test_faulty_images_are_named_with_what_leaves_them_out(tmp_path: Path) -> None:
    as_zip(tmp_path / "sars_cov_2.zip", {**FILES, "COVID/cut.png": png(1)[:50]})
    with pytest.raises(DataFault) as fault:
        packs.load(SARS, SMALL, tmp_path / "store", tmp_path)
    assert "1 of 19 images are faulty: COVID/cut.png: cannot be read" in str(fault.value)
    assert f"`suite data add sars_cov_2 {tmp_path / 'sars_cov_2.zip'} --skip-faulty`" in str(fault.value)
    assert not list((tmp_path / "store").rglob("*.part"))


PACKING = """
import resource, sys
from pathlib import Path
from suite.data import pack as packs
from suite.data.identity import DataSettings
from suite.registry import dataset
pack = packs.load(dataset("sars_cov_2"), DataSettings(size=256), Path(sys.argv[1]), Path(sys.argv[2]))
print(len(pack.ids), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(*arguments: object) -> str:
    command = [sys.executable, "-c", PACKING, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("way", ["zip", "tar"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, way: str) -> None:
    name, write = WAYS[way]
    peaks = {}
    for count in (300, 3000):
        files = {f"{kind}/{n}.png": png(n, 40) for kind in SARS.class_names for n in range(count // 2)}
        write(tmp_path / str(count) / name, files)
        images, kilobytes = map(int, run(tmp_path / f"store {count}", tmp_path / str(count)).split())
        assert images == count
        peaks[count] = kilobytes / 1024
    packed = 3000 * 256 * 256 / 2**20
    assert peaks[3000] - peaks[300] < packed / 5, f"{peaks} MB, for {packed:.0f} MB of images"


@pytest.mark.slow
def test_a_pack_that_was_killed_goes_on(tmp_path: Path) -> None:
    files = {f"{kind}/{n}.png": png(n, 60) for kind in SARS.class_names for n in range(700)}
    root = as_folder(tmp_path / "root/sars_cov_2", files).parent
    store = tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", PACKING, str(store), str(root)])
    end = time.monotonic() + 60
    while not (noted := list(store.glob("artefacts/data/*.part/scratch/decoded/states"))):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = np.fromfile(noted[0], np.uint8)
    assert 0 < (done > 0).sum() < 1400
    # What is done is not decoded again: its files could not be.
    shown = sorted(files)
    for at in np.flatnonzero(done):
        path = root / "sars_cov_2" / shown[at]
        before = path.stat()
        path.write_bytes(b"x" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(store, root).split()[0] == "1400"
    assert [path.name for path in (store / "artefacts/data").iterdir() if "." in path.name] == []
    whole = as_zip(tmp_path / "whole/sars_cov_2.zip", files).parent
    run(tmp_path / "undisturbed", whole)
    digests = {
        json.loads(path.read_text())["digest"] for path in tmp_path.glob("*/artefacts/data/*/manifest.json")
    }
    assert len(digests) == 1
