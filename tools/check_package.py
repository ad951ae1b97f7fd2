"""Build minirnn from every kind of tree, install it in every way, and try what was installed.

    python tools/check_package.py           # everything (`make package`)

Trees: a checkout, a tarball, a zip whose links were lost (minirnn/kernels is then a small text
file), an unpacked source distribution. Each gives a wheel, and the wheels must be equal, byte for
byte, and hold every file of minirnn/ and kernels/. Each wheel is installed into an environment of
its own, where tools/try_install.py and the tests run from outside the tree. Editable installs and
trees that are only on PYTHONPATH are tried as well.

The environments borrow the dependencies of the one this runs in; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = Path("minirnn", "kernels")
SMOKE = ROOT / "tools" / "try_install.py"
# Tests that need no more of the repository than tests/ and read what a wheel holds, without those
# that compile kernels of their own or measure time. Those of the GPU run the same Python over texts
# that SMOKE looks for.
PARTS = [f"tests/{part}" for part in ("datasets", "kernels", "nn", "report")]
WITHOUT = [
    "kernels/test_build.py", "kernels/test_cuda_compiles.py", "kernels/test_mutants.py",
    "nn/test_overhead.py",
]  # fmt: skip


class PackageError(Exception):
    """Something that was built or installed is not as it should be."""


def run(*command: str | Path, cwd: Path, pythonpath: Path | None = None) -> str:
    """Run a command apart from this environment; returns what it printed.

    Raises: PackageError with the output if the command fails.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if pythonpath is not None:
        environment["PYTHONPATH"] = str(pythonpath)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise PackageError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def checkout(directory: Path) -> Path:
    """A copy of this tree without what git ignores, the link in place."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    tree = directory / "checkout"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", *ignored))
    if not (tree / LINK).is_symlink():  # this tree came out of a zip itself
        (tree / LINK).unlink(missing_ok=True)
        (tree / LINK).symlink_to("../kernels")
    return tree


def through_tarball(tree: Path, directory: Path) -> Path:
    """The tree as it comes out of a tarball: the link is still a link."""
    archive = directory / "minirnn.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, "tarball")
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    return directory / "tarball"


def through_zip(tree: Path, directory: Path) -> Path:
    """The tree as it comes out of a zip on a system without links: a text file instead."""
    copy = directory / "zip"
    shutil.copytree(tree, copy, symlinks=True)
    (copy / LINK).unlink()
    (copy / LINK).write_text("../kernels")
    return copy


def through_sdist(tree: Path, directory: Path) -> Path:
    """The source distribution of the tree, unpacked."""
    with tarfile.open(build(tree, "sdist", directory)) as tar:
        tar.extractall(directory / "sdist", filter="data")
    (unpacked,) = (directory / "sdist").iterdir()
    return unpacked


def build(tree: Path, kind: str, directory: Path) -> Path:
    """Build a copy of the tree (building leaves files in it); `kind` is "wheel" or "sdist"."""
    output = Path(tempfile.mkdtemp(dir=directory))
    shutil.copytree(tree, output / "tree", symlinks=True)
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", output]
    run(*command, output / "tree", cwd=output)
    (built,) = (path for path in output.iterdir() if path.is_file())
    return built


def sources(tree: Path) -> dict[str, str]:
    """What a wheel of the tree must hold: path below site-packages, and digest, of every file."""
    found = {}
    for folder, package in (("minirnn", Path("minirnn")), ("kernels", LINK)):
        for directory, _, names in os.walk(tree / folder):  # goes through no link
            for path in (Path(directory, name) for name in names):
                if path != tree / LINK:
                    inside = package / path.relative_to(tree / folder)
                    found[inside.as_posix()] = digest(path.read_bytes())
    return found


def contents(wheel: Path) -> dict[str, str]:
    """What the wheel holds, its own records apart: path below site-packages, and digest.

    Raises: PackageError if it would install anything but `minirnn`.
    """
    with zipfile.ZipFile(wheel) as archive:
        found = {name: digest(archive.read(name)) for name in archive.namelist()}
    own = records(wheel)
    if strange := {name for name in found.keys() - own if not name.startswith("minirnn/")}:
        raise PackageError(f"{wheel.name} would also install {sorted(strange)}")
    return {name: found[name] for name in found.keys() - own}


def records(wheel: Path) -> dict[str, str]:
    """Path and digest of the wheel's own records: name, version, commands, list of files."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: digest(archive.read(name))
            for name in archive.namelist()
            if name.split("/")[0].endswith(".dist-info")
        }


def digest(content: bytes) -> str:
    """A short fingerprint of a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]


def check_contents(wheel: Path, tree: Path) -> int:
    """Compare a wheel with the tree it was built from; returns the number of files.

    Raises: PackageError that names the files that are missing, changed or too many.
    """
    wanted, found = sources(tree), contents(wheel)
    wrong = {name for name in wanted | found if wanted.get(name) != found.get(name)}
    if wrong:
        raise PackageError(
            f"{wheel.name} differs from {tree.name} in {sorted(wrong)}: see `packages` and "
            "`package-data` in pyproject.toml"
        )
    return len(found)


def check_equal(wheel: Path, first: Path) -> None:
    """Compare what two wheels would install, and what they say of themselves.

    Raises: PackageError that names the files that differ.
    """
    here = contents(wheel) | records(wheel)
    there = contents(first) | records(first)
    if unlike := {name for name in here | there if here.get(name) != there.get(name)}:
        raise PackageError(f"the wheels of two trees differ in {sorted(unlike)}")


def environment(directory: Path) -> Path:
    """A fresh virtual environment that borrows this one's dependencies; returns its Python."""
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-c", where, cwd=directory).strip())
    # A .pth inside a borrowed directory is not read, so an editable minirnn there is not borrowed.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def install(python: Path, *what: str | Path) -> None:
    """Install a wheel, or `--editable` a tree, into an environment."""
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    apart = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    run(*pip, *apart, *what, cwd=python.parent)


def try_tests(python: Path, directory: Path) -> str:
    """Run the tests on what is installed, from outside the tree; returns pytest's last line."""
    outside = directory / "outside"
    shutil.copytree(ROOT / "tests", outside / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", outside)
    pytest = [python, "-P", "-m", "pytest", "-q", "-x", "-k", "not cuda", "-m", "not alone"]
    pytest += ["-n", "2", "--dist", "loadfile"]
    without = [f"--ignore=tests/{file}" for file in WITHOUT]
    printed = run(*pytest, *without, *PARTS, cwd=outside)
    return printed.strip().splitlines()[-1]


def main() -> int:
    """Check everything; the exit status."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="minirnn-package-") as name:
        try:
            check_all(Path(name))
        except PackageError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    print(f"package: all well, {time.perf_counter() - start:.0f} s")
    return 0


def check_all(work: Path) -> None:
    """Build, compare, install and try; prints a line for each way.

    Raises: PackageError at the first thing that is wrong.
    """
    tree = checkout(work)
    trees = {
        "checkout": tree,
        "tarball": through_tarball(tree, work),
        "zip": through_zip(tree, work),
        "sdist": through_sdist(tree, work),
    }
    first: Path | None = None
    for kind, source in trees.items():
        wheel = build(source, "wheel", work)
        files = check_contents(wheel, source)
        if first is not None:
            check_equal(wheel, first)
        python = environment(work / f"wheel-{kind}")
        install(python, wheel)
        run(python, "-P", SMOKE, work / f"wheel-{kind}", cwd=work)
        run(python.parent / "minirnn", "--version", cwd=work)
        if first is None:
            first = wheel
            tests = f"tests from outside: {try_tests(python, work / f'wheel-{kind}')}"
        else:
            tests = "the same as the first"
        print(f"wheel from {kind}: {files} files; {tests}", flush=True)
    for kind, mode in itertools.product(("checkout", "zip"), ("lenient", "compat")):
        python = environment(work / f"editable-{kind}-{mode}")
        install(python, "--config-settings", f"editable_mode={mode}", "--editable", trees[kind])
        run(python, "-P", SMOKE, trees[kind], cwd=work)
        run(python.parent / "minirnn", "--version", cwd=work)
        print(f"editable install of {kind}, {mode}: works", flush=True)
    python = environment(work / "bare")
    for kind, source in trees.items():
        run(python, "-P", SMOKE, source, cwd=work, pythonpath=source)
        print(f"{kind} on PYTHONPATH: works", flush=True)


if __name__ == "__main__":
    sys.exit(main())
