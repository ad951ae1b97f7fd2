"""The quick part of tools/check_package.py: `make package` builds and installs in every way."""

from __future__ import annotations

import os
import tomllib
import zipfile
from pathlib import Path

import check_package
import pytest

PROJECT = tomllib.loads((check_package.ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def tree(work: Path) -> Path:
    return check_package.checkout(work)


@pytest.fixture(scope="module")
def zipped(work: Path, tree: Path) -> Path:
    return check_package.through_zip(tree, work)


def test_every_package_is_listed(tree: Path) -> None:
    found = {
        Path(path).parent.as_posix().replace("/", ".")
        for path in check_package.sources(tree)
        if path.endswith("/__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_a_wheel_from_a_zip_without_links_holds_every_file(zipped: Path, work: Path) -> None:
    wheel = check_package.build(zipped, "wheel", work)
    check_package.check_contents(wheel, zipped)
    held = check_package.contents(wheel)
    assert {"minirnn/kernels/contract.py", "minirnn/py.typed"} <= held.keys()


def test_an_sdist_holds_the_kernels_once(tree: Path, work: Path) -> None:
    unpacked = check_package.through_sdist(tree, work)
    assert check_package.sources(unpacked) == check_package.sources(tree)
    assert not os.path.lexists(unpacked / "minirnn" / "kernels")
    assert (unpacked / "tests" / "conftest.py").is_file()


def test_a_zip_without_links_works_where_it_is(zipped: Path, work: Path) -> None:
    code = "import minirnn.kernels.contract as c, sys; print(c.__file__, 'kernels' in sys.modules)"
    python = check_package.environment(work / "bare")
    printed = check_package.run(python, "-c", code, cwd=work, pythonpath=zipped)
    assert printed.split() == [str(zipped / "kernels" / "contract.py"), "False"]


def test_a_file_that_a_wheel_lacks_is_noticed(zipped: Path, work: Path) -> None:
    wheel = check_package.build(zipped, "wheel", work)
    (zipped / "kernels" / "late.py").touch()
    with pytest.raises(check_package.PackageError, match=r"minirnn/kernels/late\.py"):
        check_package.check_contents(wheel, zipped)


def a_wheel(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            folder = "minirnn-1.dist-info" if name.isupper() else "minirnn"
            archive.writestr(f"{folder}/{name}", text)
    return path


@pytest.mark.parametrize("other", [{"a": "2", "METADATA": "m"}, {"a": "1"}, {"b": "1"}])
def test_wheels_of_two_trees_that_differ_are_noticed(other: dict[str, str], tmp_path: Path) -> None:
    first = a_wheel(tmp_path / "first.whl", a="1", METADATA="m")
    check_package.check_equal(a_wheel(tmp_path / "same.whl", METADATA="m", a="1"), first)
    with pytest.raises(check_package.PackageError, match="differ in"):
        check_package.check_equal(a_wheel(tmp_path / "other.whl", **other), first)
