"""Frames and maps in a temporary file, read back one at a time: however many there are, they fill no memory."""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", np.uint8, np.float32)


class Stored(Generic[Scalar]):
    """Arrays of one shape and type, as if stacked. An index reads one, a slice or a list of indices a stack of them.

    The file has no name, so it is gone with the last reference, however the process ends.
    """

    def __init__(self, shape: tuple[int, ...], dtype: "npt.DTypeLike") -> None:
        """shape: of each."""
        self._each, self.dtype = shape, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(prefix="mde-export-")  # noqa: SIM115  open as long as this lives
        self._turns = threading.Lock()
        self._count = 0

    def append(self, array: npt.NDArray[Scalar]) -> None:
        """Add one at the end."""
        assert (array.shape, array.dtype) == (self._each, self.dtype)
        with self._turns:
            self._file.seek(self._count * self._size_bytes)
            self._file.write(np.ascontiguousarray(array).data)
            self._count += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the stack."""
        return (self._count, *self._each)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[npt.NDArray[Scalar]]:
        return map(self._read, range(self._count))

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[Scalar]: ...
    @overload
    def __getitem__(self, index: "slice | Sequence[int]") -> npt.NDArray[Scalar]: ...
    def __getitem__(self, index: "int | slice | Sequence[int]") -> npt.NDArray[Scalar]:
        if isinstance(index, (int, np.integer)):
            return self._read(range(self._count)[index])
        places = range(self._count)[index] if isinstance(index, slice) else [range(self._count)[i] for i in index]
        stack = np.empty((len(places), *self._each), self.dtype)
        for row, place in zip(stack, places, strict=True):
            row[...] = self._read(place)
        return stack

    def _read(self, place: int) -> npt.NDArray[Scalar]:
        array = np.empty(self._each, self.dtype)
        with self._turns:
            self._file.seek(place * self._size_bytes)
            self._file.readinto(array.data.cast("B"))
        return array

    @property
    def _size_bytes(self) -> int:
        return int(np.prod(self._each)) * self.dtype.itemsize


def stored(arrays: "Iterable[npt.NDArray[Scalar]]") -> "Stored[Scalar]":
    """The arrays, of which there is at least one."""
    found: Stored[Scalar] | None = None
    for array in arrays:
        if found is None:
            found = Stored(array.shape, array.dtype)
        found.append(array)
    assert found is not None
    return found
