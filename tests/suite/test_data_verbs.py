"""``suite data`` as people type it: every fault is one clear line and exit code 2, and leaves nothing half-made."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engine import Bench
from images import as_folder, as_tar, as_zip, png
from PIL import Image
from typer.testing import CliRunner

from suite.cli import app

FILES = {f"{kind}/{n}.png": png(n + at) for at, kind in ((0, "COVID"), (20, "non-COVID")) for n in range(9)}
GRADES = {f"train_images/c{n}.png": png(n, colour=True) for n in range(20)}
TABLE = "id_code,diagnosis\n" + "".join(f"c{n},{n % 5}\n" for n in range(20))


class Home:
    """A folder with a store and a data root, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.store = folder, folder / "root", folder / "store"
        self.root.mkdir(parents=True)

    def __call__(self, *arguments: object, code: int = 0) -> str:
        store = [] if arguments[0] == "fetch" else ["--store", str(self.store)]
        texts = ["data", *map(str, arguments), *store, "--data-root", str(self.root)]
        result = CliRunner().invoke(app, texts)
        assert result.exit_code == code, result.output
        return result.output

    def left(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_add_says_what_it_packed_and_list_shows_it(home: Home, tmp_path: Path) -> None:
    archive = as_zip(tmp_path / "archive.zip", {f"top/{name}": content for name, content in FILES.items()})
    out = home("add", "sars_cov_2", archive, "--size", 16, "--size", 24)
    assert "sars_cov_2 packed: 18 images, 1 x 16 x 16 (normal + anomalous: train 6 + 0, test 3 + 9)" in out
    assert "1 x 24 x 24" in out
    assert "COVID: 9 images where 1252 are published" in out
    assert f"{archive} is read again when another size is packed" in out
    assert "was packed already" in home("add", "sars_cov_2", archive, "--size", 16)
    listed = {entry["name"]: entry for entry in json.loads(home("list", "--json"))}
    sars = listed["sars_cov_2"]
    assert sars["state"] == "packed at 16, 24 px"
    assert sars["published"] == {"COVID": 1252, "non-COVID": 1230}
    assert listed["kvasir_polyp"]["state"] == "suite data fetch kvasir_polyp"
    assert listed["aptos_2019"]["state"] == "suite data add aptos_2019 PATH"
    assert listed["digits"]["state"] == "built in"
    assert {"derma_mnist", "cifar10", "cifar100", "phantom", "retinal_oct"} <= set(listed)
    table = home("list")
    assert "1,230 / 1,252" in table
    assert "CC BY-NC-SA 4.0" in table


def test_list_loads_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom suite.cli import app\nsys.argv = ['suite', 'data', 'list']\n"
        "try: app()\nexcept SystemExit as end: print(end.code)\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'sklearn', 'medmnist'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["0", "[]"]


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def encrypted(path: Path) -> Path:
    content = bytearray(as_zip(path, FILES).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def archive_bomb(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open("COVID/0.png", "w") as stream:
        for _ in range(150):
            stream.write(bytes(2**20))
    return path


def image_bomb(side: int) -> Callable[[Path], Path]:
    """A small file of a whole PNG header that promises ``side`` x ``side`` pixels."""

    def make(path: Path) -> Path:
        whole = bytearray(png(0))
        at = whole.index(b"IHDR")
        whole[at + 4 : at + 12] = side.to_bytes(4, "big") * 2
        whole[at + 17 : at + 21] = zlib.crc32(whole[at : at + 17]).to_bytes(4, "big")
        return as_zip(path, {**FILES, "COVID/0.png": bytes(whole)})

    return make


def page(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<!doctype html><title>Log in</title>")
    return path


def aptos(**change: str) -> Callable[[Path], Path]:
    return lambda path: as_zip(path, {"train.csv": TABLE.replace(*change.popitem()).encode(), **GRADES})


FAULTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "a wrong archive": (
        "sars_cov_2",
        lambda path: as_zip(path, {"cats/1.png": png(1)}),
        "is not SARS-COV-2 CT: it should hold the folders COVID/, non-COVID/ with images, and holds cats",
    ),
    "a wrong folder": (
        "kvasir_polyp",
        lambda path: as_folder(path.with_suffix(""), FILES),
        "is not Kvasir-polyp",
    ),
    "a truncated zip": ("sars_cov_2", lambda path: cut(as_zip(path, FILES)), "not a whole zip archive"),
    "a truncated tar": (
        "sars_cov_2",
        lambda path: cut(as_tar(path.with_suffix(".tar.gz"), FILES)),
        "not a whole tar archive",
    ),
    "a path that leads out": (
        "sars_cov_2",
        lambda path: as_zip(path, {**FILES, "../COVID/x.png": png(1)}),
        "holds '../COVID/x.png', a path that leads out of it",
    ),
    "an absolute path": (
        "sars_cov_2",
        lambda path: as_tar(path.with_suffix(".tar"), {**FILES, "/COVID/x.png": png(1)}),
        "a path that leads out of it",
    ),
    "an archive bomb": ("sars_cov_2", archive_bomb, "a bomb, not a data set"),
    "an image bomb": (
        "sars_cov_2",
        image_bomb(40_000),
        "COVID/0.png: Image size (1600000000 pixels) exceeds",
    ),
    "a lesser image bomb": (
        "sars_cov_2",
        image_bomb(10_000),
        "COVID/0.png: 10000 x 10000 pixels, more than ",
    ),
    "an encrypted zip": ("sars_cov_2", encrypted, "is encrypted"),
    "a web page": ("sars_cov_2", page, "a web page, not an archive"),
    "nothing": ("sars_cov_2", lambda path: path, "there is no "),
    "an unreadable image": (
        "sars_cov_2",
        lambda path: as_zip(path, {**FILES, "COVID/cut.png": png(1)[:60]}),
        "1 of 19 images are faulty: COVID/cut.png: cannot be read",
    ),
    "a file that is no image": (
        "sars_cov_2",
        lambda path: as_zip(path, {**FILES, "COVID/a page.png": b"<!doctype html>", "COVID/empty.png": b""}),
        "COVID/a page.png: cannot be read: it is no image of a kind that is known here; "
        "COVID/empty.png: cannot be read: it is empty",
    ),
    "a csv with ids that are missing": ("aptos_2019", aptos(**{"c3,3\n": ",3\n"}), "line 5 has no id_code"),
    "a csv of images that are missing": (
        "aptos_2019",
        aptos(**{"c3,3\n": "c3,3\nmore,1\n"}),
        "1 of the 21 ids in train.csv have no image in train_images (more)",
    ),
    "images that are missing in the csv": ("aptos_2019", aptos(**{"c3,3\n": ""}), "1 images have no row"),
    "no csv": ("aptos_2019", lambda path: as_zip(path, GRADES), "it should hold train.csv and train_images/"),
    "a set that is downloaded": (
        "breast_mnist",
        lambda path: as_zip(path, FILES),
        "suite data fetch breast_mnist",
    ),
    "an unknown set": ("breast", lambda path: as_zip(path, FILES), "unknown data set 'breast'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_leaves_nothing(home: Home, tmp_path: Path, fault: str) -> None:
    name, make, said = FAULTS[fault]
    before = home.left()
    out = home("add", name, make(tmp_path / "given" / "archive.zip"), "--size", 16, code=2)
    assert said in out
    assert len(out.strip().splitlines()) == 1, out
    assert "Traceback" not in out
    assert " object at 0x" not in out
    assert [path for path in home.left() if path not in (*before, "store", "store/artefacts")] in (
        [],
        ["store/artefacts/data"],
    )


def test_faulty_images_are_left_out_by_choice_and_said(home: Home, tmp_path: Path) -> None:
    archive = as_zip(tmp_path / "archive.zip", {**FILES, "COVID/cut.png": png(1)[:60]})
    assert "--skip-faulty` leaves them out" in home("add", "sars_cov_2", archive, "--size", 16, code=2)
    out = home("add", "sars_cov_2", archive, "--size", 16, "--skip-faulty")
    assert "left out by choice: 1 faulty images (COVID/cut.png: cannot be read" in out


def test_fetch_says_what_to_get_and_how_to_add_it(home: Home) -> None:
    out = home("fetch", "sars_cov_2", "aptos_2019", "retinal_oct", "digits", code=2)
    assert "digits needs no files" in out
    for name, site in (("sars_cov_2", "kaggle"), ("aptos_2019", "rules"), ("retinal_oct", "OCT2017.tar.gz")):
        (line,) = [line for line in out.splitlines() if f"suite data add {name} PATH" in line]
        assert site in line
        assert "https://" in line
    assert "unknown data set" in home("fetch", "nonsense", code=2)


def test_fetch_downloads_and_does_not_twice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from suite.data import cifar

    def fetch(info: object, size: int, data_root: Path) -> Path:
        path = data_root / "cifar-10-python.tar.gz"
        path.touch()
        return path

    monkeypatch.setattr(cifar, "fetch", fetch)
    out = home("fetch", "cifar10")
    assert "cifar10 is at hand: " in out
    assert "cite Krizhevsky" in out
    monkeypatch.setattr(cifar, "fetch", None)
    assert "cifar10 is at hand: " in home("fetch", "cifar10")


@pytest.mark.parametrize("verb", ["list", "fetch", "add"])
def test_every_verb_has_an_example(verb: str) -> None:
    assert f"Example: suite data {verb}" in CliRunner().invoke(app, ["data", verb, "--help"]).output


@pytest.mark.slow
def test_an_absent_set_is_one_line_in_the_plan_and_an_added_one_runs(bench: Bench, tmp_path: Path) -> None:
    bench.spec.write_text(
        bench.spec.read_text()
        .replace('dataset = "toy"\n', '"data.size" = 16\n')
        .replace(
            '"train.steps" = [8, 16]', '"train.steps" = [8]\ndataset = ["toy", "sars_cov_2", "kvasir_polyp"]'
        )
    )
    root = ("--data-root", str(tmp_path / "root"))
    plan = bench.cli("plan", "toy.toml", "--seeds", "0", *root)
    assert "sars_cov_2 is not at hand" in plan
    assert "suite data add sars_cov_2 PATH" in plan
    assert "kvasir_polyp is not at hand: suite data fetch kvasir_polyp" in plan
    assert "3 runs: 2 blocked, 1 to run" in plan
    as_folder(tmp_path / "given", FILES)
    bench.cli("data", "add", "sars_cov_2", str(tmp_path / "given"), "--size", "24", *root)
    out = bench.cli("run", "toy.toml", "--seeds", "0", "--no-mlflow", "-j", "1", *root)
    assert "1 of kvasir_polyp blocked: data missing" in out
    assert "3 runs: 2 done, 1 blocked" in bench.cli("plan", "toy.toml", "--seeds", "0", *root)


def test_a_set_that_a_run_downloads_is_said_in_the_plan(bench: Bench, tmp_path: Path) -> None:
    bench.spec.write_text(bench.spec.read_text().replace('"toy"', '"breast_mnist"'))
    plan = bench.cli("plan", "toy.toml", "--data-root", str(tmp_path / "root"))
    assert "4 runs: 4 to run" in plan
    assert plan.count("before that, once: breast_mnist is downloaded (suite data fetch breast_mnist)") == 1
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "breastmnist.npz").touch()
    assert "before that" not in bench.cli("plan", "toy.toml", "--data-root", str(tmp_path / "root"))


def test_images_that_pil_warns_of_are_packed_silently(home: Home, tmp_path: Path) -> None:
    palette = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    palette.save(tmp_path / "p.png", transparency=b"\x00\x80")
    files = {**FILES, "COVID/p.png": (tmp_path / "p.png").read_bytes()}
    out = home("add", "sars_cov_2", as_zip(tmp_path / "a.zip", files), "--size", 16)
    assert "Warning" not in out


def verified(home: Home, *arguments: object, code: int = 0) -> list[dict[str, object]]:
    entries = json.loads(home("verify", *arguments, "--json", code=code))
    assert isinstance(entries, list)
    return entries


def test_verify_tells_absent_whole_and_wrong(home: Home, tmp_path: Path) -> None:
    assert "absent: suite data add sars_cov_2 PATH" in home("verify", "sars_cov_2", "digits")
    absent, digits = verified(home, "sars_cov_2", "digits")
    assert (absent["present"], absent["ok"]) == (False, None)
    assert (digits["present"], digits["ok"], digits["size"]) == (True, True, digits["size"])
    home("add", "sars_cov_2", as_folder(tmp_path / "sars", FILES), "--size", 16)
    out = home("verify", "sars_cov_2", "--near", code=1)
    assert "WRONG sars_cov_2 at 16 px: COVID: 9 images instead of 1,252" in out
    assert "near-duplicates" in out
    (wrong,) = verified(home, "sars_cov_2", code=1)
    assert (wrong["size"], wrong["ok"]) == (16, False)
    for images in (home.store / "artefacts" / "data").glob("*/images.npy"):
        images.write_bytes(images.read_bytes()[:100])
    assert "is damaged" in home("verify", "sars_cov_2", code=1)


def test_verify_of_nothing_named_goes_through_every_set(home: Home) -> None:
    entries = {entry["name"]: entry for entry in verified(home)}
    assert {"phantom", "digits", "sars_cov_2", "retinal_oct", "derma_mnist", "cifar10"} <= set(entries)
    assert {name for name, entry in entries.items() if entry["present"]} == {
        "digits",
        "phantom",
        "phantom_coarse",
    }


def test_verify_names_a_set_that_is_not_known(home: Home) -> None:
    result = CliRunner().invoke(app, ["data", "verify", "sars"])
    assert result.exit_code == 2
    assert "unknown data set 'sars'" in result.output
