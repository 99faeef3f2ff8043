"""Failures of libraries and of the system, in the words of `errors`; a failure with no such words is a bug of ours."""

import errno
import re
import traceback

from mde_runtime import __version__, installation
from mde_runtime.errors import BadInputError, MachineError, MdeError, reason_of

DISTRIBUTION = "mde-toolchain"
MEMORY_IS_FULL = "out of memory; close other programs, or process less at once (smaller pictures, a smaller batch)"
DISK_IS_FULL = "the disk is full; free some space and run the same command again"
OF_THE_MACHINE = {
    errno.ENOSPC: DISK_IS_FULL,
    errno.EDQUOT: DISK_IS_FULL,
    errno.ENOMEM: MEMORY_IS_FULL,
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.EAGAIN: "no more processes or threads may start; close other programs, or raise the limit (ulimit -u)",
}
# The words of Python's threads, the dynamic linker, torch, onnxruntime, OpenVINO, CUDA and its libraries, and Pillow.
OUT_OF_MEMORY = re.compile(
    r"out.?of.?memory|not enough memory|insufficient memory|bad_?alloc|bad allocation|alloc\w*_failed"
    r"|(?:can't|can ?not|could not|unable to|failed to) (?:\w+ ){0,2}(?:alloc|mmap)|cudaErrorMemoryAllocation"
    r"|can't start new thread|failed to map segment",
    re.IGNORECASE,
)
STATIC_TLS = "static TLS"  # the linker "cannot allocate memory in static TLS block": no lack of memory
WITHOUT_AN_ACCOUNT = re.compile(r"getpwuid\(\)|Could not determine home directory|No username set")


def problem_of(error: Exception) -> MdeError | None:
    """What an exception means to the user. None: nobody foresaw it, so it is a bug of ours."""
    if isinstance(error, MachineError):
        return error
    if is_out_of_memory(error):
        return MachineError(f"{MEMORY_IS_FULL} ({reason_of(error)})")
    if isinstance(error, MdeError):
        return error
    if WITHOUT_AN_ACCOUNT.search(str(error)):
        return MachineError(
            f"this account has no name or no home folder ({reason_of(error)}); set USER and HOME, and MDE_CACHE to a "
            "folder for the cache"
        )
    if isinstance(error, ImportError):
        return _of_import(error)
    if isinstance(error, OSError) and error.errno and not isinstance(error, BrokenPipeError):
        return _of_system(error)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the GPU's included: by the exception itself, or by one that led to it."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        if _says_out_of_memory(at):
            return True
        seen.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return False


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno:
        return error.errno == errno.ENOMEM
    if isinstance(error, (MdeError, LookupError, ValueError, TypeError)):  # may quote a user's text
        return False
    return OUT_OF_MEMORY.search(str(error)) is not None and STATIC_TLS not in str(error)


def _of_import(error: ImportError) -> MachineError | None:
    package = (error.name or "").partition(".")[0]
    if package.startswith("mde_"):
        return None
    if isinstance(error, ModuleNotFoundError):
        extra = installation.extra_with(package)
        remedy = installation.adding(extra) if extra else "run mde-doctor for the command that installs it"
        return MachineError(f"the package {package} is not installed; {remedy}")
    return MachineError(f"{package or 'a library'} cannot be loaded ({reason_of(error)}); run mde-doctor")


def _of_system(error: OSError) -> MdeError:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in OF_THE_MACHINE:
        return MachineError(f"{where}{OF_THE_MACHINE[error.errno]}")
    if error.errno == errno.EBADF and not where:
        return BadInputError("stdout is open, but not for writing; send it to a file or a pipe")
    return BadInputError(f"{where}{error.strerror or error}; check the file and its folder")


def bug_report(error: BaseException, *, has_traceback: bool) -> str:
    """What to say of an exception that nobody foresaw: what it is, and what to send to whom."""
    *_, (file, line, _, _) = traceback.extract_tb(error.__traceback__) or [("", 0, "", "")]
    place = f" at {file.replace(chr(92), '/').rpartition('/')[2]}:{line}" if file else ""
    output = "the traceback above" if has_traceback else "the traceback from --debug"
    return (
        f"a bug of {DISTRIBUTION} ({type(error).__name__}: {reason_of(error)}{place}); please report it{_where()}: "
        f"send the command, the version ({__version__}) and {output}"
    )


def _where() -> str:
    """The address that the installed package names for that; empty where it names none."""
    import importlib.metadata  # needed by a bug alone

    try:
        about = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return ""
    named = [entry.partition(",")[2].strip() for entry in about.get_all("Project-URL") or ()]
    addresses = [*named, *(about.get_all("Home-page") or ())]
    return next((f" to {address}" for address in addresses if "://" in address), "")
