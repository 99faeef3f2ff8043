import os
import re
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def tree(root, tmp_path):
    """A project folder with nothing but what the set-up reads."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/environment.py", "setup.cfg", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def environment(tree, module_at):
    """scripts/environment.py of that folder, as a module."""
    return module_at(tree / "scripts" / "environment.py")


def install(site, name, files, record):
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content)
    (metadata / "RECORD").write_text("".join(f"{line}\n" for line in record))
    return metadata


def test_what_an_interrupted_pip_left_half_done_is_forgotten_and_nothing_else(environment, tree):
    site = tree / ".venv" / "lib" / "python3.11" / "site-packages"
    by_pip = "{}-1.0.dist-info/INSTALLER,,"
    (site / "whole").mkdir(parents=True)
    files = {
        name: {f"{name}/a.py": "x = 1\n", f"{name}-1.0.dist-info/INSTALLER": "pip\n"} for name in ("whole", "short")
    }
    whole = install(site, "whole", files["whole"], ["whole/a.py,,6", by_pip.format("whole")])
    short = install(site, "short", files["short"], ["short/a.py,,600", by_pip.format("short")])
    gone = install(site, "gone", {}, ["gone/a.py,,6", by_pip.format("gone")])
    from_the_wheel = install(site, "early", {"early/a.py": "x = 1\n"}, ["early/a.py,,6"])
    without = install(site, "without", {}, [])
    (without / "RECORD").unlink()

    environment.forget_half_installed()
    assert whole.exists()
    assert [path for path in (short, gone, from_the_wheel, without) if path.exists()] == []


def test_a_python_without_the_parts_for_it_is_told_what_to_install(tree):
    program = (
        "import importlib.util as util, runpy\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('ensurepip', 'pip') else find(name, *rest)\n"
        f"runpy.run_path({str(tree / 'scripts' / 'environment.py')!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert "apt-get install python3-venv" in ended.stderr


@pytest.fixture
def torch_in(tmp_path, monkeypatch, root):
    """A function that makes pip find these builds of the tested torch in a folder, and nothing else anywhere."""
    (pin,) = re.findall(r"^torch==(\S+)$", (root / "constraints.txt").read_text(), re.MULTILINE)

    def find(*labels: str, version: str = pin) -> None:
        for label in labels:
            (tmp_path / f"torch-{version}{label}-py3-none-any.whl").touch()
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    return find


@pytest.mark.skipif(sys.platform == "darwin", reason="torch has one build for macOS")
@pytest.mark.parametrize(
    ("labels", "build"), [(("", "+cpu"), "CPU"), (("+cpu",), "CPU"), (("",), "CUDA"), (("+cu130",), "CUDA"), ((), None)]
)
def test_the_build_of_torch_is_the_one_that_pip_would_take(environment, torch_in, labels, build):
    torch_in(*labels)
    assert environment.torch_build(sys.executable) == build


def test_a_cpu_build_of_another_version_is_not_the_one(environment, torch_in):
    torch_in("+cpu", version="99.0")
    assert environment.torch_build(sys.executable) is None


def test_with_a_cpu_build_its_size_alone_is_said(environment, capsys):
    environment.announce("CPU")
    said = capsys.readouterr().err
    assert f"download  about {environment.DOWNLOAD_GB['CPU']} GB (CPU build of torch)" in said
    assert "CUDA" not in said


@pytest.mark.parametrize("build", ["CUDA", None])
def test_without_one_the_size_and_the_way_to_it_are_said(environment, capsys, monkeypatch, tmp_path, build):
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    environment.announce(build)
    said = capsys.readouterr().err
    assert f"{environment.DOWNLOAD_GB['CUDA']} GB (CUDA build of torch)" in said
    assert "PIP_EXTRA_INDEX_URL=<that index> make" in said


def test_the_set_up_needs_the_standard_library_alone(root):
    program = (
        "import runpy, sys; before = set(sys.modules)\n"
        "runpy.run_path('scripts/environment.py', run_name='looked at')\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []
