import errno

import numpy as np
import pytest

from mde_runtime import failures
from mde_runtime.errors import BadInputError, MachineError, UsageError

OUT_OF_MEMORY = (
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64 bytes"),
    RuntimeError("unable to mmap 4096 bytes from file <a.ckpt>: Cannot allocate memory (12)"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    RuntimeError("bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 123"),
    ImportError("libfoo.so: failed to map segment from shared object", name="foo"),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_out_of_memory_is_the_machines_in_whatever_words(error):
    problem = failures.problem_of(error)
    assert isinstance(problem, MachineError)
    assert "out of memory" in str(problem)


def test_numpys_own_words_are_out_of_memory():
    with pytest.raises(MemoryError) as caught:
        np.empty((1 << 55,), np.uint8)
    assert isinstance(failures.problem_of(caught.value), MachineError)


def test_input_that_could_not_be_read_for_lack_of_memory_is_not_to_blame():
    error = BadInputError("a.npy: damaged; copy it again")
    error.__cause__ = MemoryError()
    assert isinstance(failures.problem_of(error), MachineError)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("no recipe 'out of memory'"),
        BadInputError("out of memory.png: damaged"),
        FileNotFoundError(errno.ENOENT, "No such file", "out of memory.png"),
        KeyError("out of memory"),
        ImportError("libgomp.so.1: cannot allocate memory in static TLS block", name="cv2"),
    ],
    ids=str,
)
def test_a_text_that_only_speaks_of_memory_is_left_alone(error):
    assert not failures.is_out_of_memory(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EAGAIN])
def test_what_the_system_has_too_little_of_is_the_machines(number):
    assert isinstance(failures.problem_of(OSError(number, "no more")), MachineError)


def test_a_library_that_is_missing_is_the_machines_but_a_module_of_ours_is_a_bug():
    assert isinstance(failures.problem_of(ModuleNotFoundError("No module named 'h5py'", name="h5py")), MachineError)
    assert isinstance(failures.problem_of(ImportError("undefined symbol: x", name="torch._C")), MachineError)
    assert failures.problem_of(ImportError("cannot import name 'x'", name="mde_train.run")) is None


@pytest.mark.parametrize("error", [AssertionError(), KeyError("x"), RuntimeError("x"), OSError("x"), RecursionError()])
def test_what_nobody_foresaw_is_a_bug(error):
    assert failures.problem_of(error) is None


def test_a_bug_report_is_one_line_however_long_and_ragged_the_error():
    said = failures.bug_report(ValueError("a\nb\r\n" * 5000), has_traceback=False)
    assert len(said.splitlines()) == 1
    assert len(said) < 600


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ("", "report it: send"),
        ("Project-URL: Issues, https://example.org/issues\n", "report it to https://example.org/issues: send"),
        ("Home-page: https://example.org\n", "report it to https://example.org: send"),
    ],
    ids=["no address", "a project's", "a home page"],
)
def test_a_bug_report_names_the_address_that_the_package_has(tmp_path, monkeypatch, metadata, where):
    folder = tmp_path / "mde_toolchain-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mde-toolchain\nVersion: 1\n{metadata}")
    monkeypatch.syspath_prepend(tmp_path)
    assert where in failures.bug_report(KeyError("x"), has_traceback=True)
