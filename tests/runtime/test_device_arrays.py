import numpy as np
import pytest

from mde_runtime import BadInputError, DepthEstimator, UsageError
from mde_runtime.cuda.device_arrays import device_array


class Shown:
    """An array of another library, as it shows itself; its memory is the host's."""

    def __init__(self, array: np.ndarray, **changes: object):
        interface = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, False), "version": 3}
        self.__cuda_array_interface__ = {**interface, "strides": array.strides, **changes}


class Packed:
    """An array that says it is on the GPU, in DLPack."""

    def __init__(self, array: np.ndarray, device: int = 2):
        self._array, self._device = array, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0

    def __dlpack__(self, *, stream: int) -> object:
        self.consumer = stream
        return self._array.__dlpack__()


def place_of(array: object, name: str, shape: tuple[int, ...], dtype: str, **options: bool) -> int:
    return device_array(array, name, shape, dtype, 91, **options).pointer


@pytest.fixture(params=[Shown, Packed])
def shown(request):
    return request.param


def test_an_array_of_the_right_form_is_found_where_it_is(shown):
    array = np.zeros((4, 5, 3), np.uint8)
    assert place_of(shown(array), "the frame", (4, 5, 3), "uint8") == array.ctypes.data


def test_a_part_of_an_array_is_found_at_its_own_place(shown):
    array = np.zeros((8, 5), np.float32)
    assert place_of(shown(array[2:6]), "out", (4, 5), "float32") == array.ctypes.data + 2 * 5 * 4


def test_an_array_of_another_gpu_is_refused_by_its_number():
    array = Packed(np.zeros((4, 5), np.float32))
    array.__dlpack_device__ = lambda: (2, 1)
    with pytest.raises(BadInputError, match=r"out is on GPU 1, and the estimator on GPU 0; .*CUDA_VISIBLE_DEVICES"):
        place_of(array, "out", (4, 5), "float32")


def test_memory_that_is_read_only_is_no_place_for_the_depth_but_holds_a_frame():
    array = np.zeros((4, 5), np.float32)
    frame = Shown(array, data=(array.ctypes.data, True))
    assert place_of(frame, "the frame", (4, 5), "float32") == array.ctypes.data
    with pytest.raises(BadInputError, match="out is read-only; it must be"):
        place_of(frame, "out", (4, 5), "float32", is_written=True)


def test_a_tensor_that_requires_its_gradient_is_refused_with_the_way_out():
    class Tensor:
        @property
        def __cuda_array_interface__(self):
            raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad")

    with pytest.raises(BadInputError, match=r"the frame cannot be read .*; pass its detach\(\)"):
        place_of(Tensor(), "the frame", (4, 5), "float32")


def test_no_strides_are_c_order():
    array = np.zeros((4, 5), np.float32)
    assert place_of(Shown(array, strides=None), "out", (4, 5), "float32") == array.ctypes.data


@pytest.mark.parametrize("named", [{}, {"stream": None}, {"stream": 1}, {"stream": 2}, {"stream": 0x7F0012345678}])
def test_the_stream_that_the_interface_names_is_found(named):
    array = Shown(np.zeros((4, 5), np.float32), **named)
    assert device_array(array, "out", (4, 5), "float32", 91).stream == named.get("stream")


@pytest.mark.parametrize("stream", [0, -1, "default"])
def test_a_stream_that_the_interface_forbids_is_refused(stream):
    with pytest.raises(BadInputError, match=rf"out names '?{stream}'? as its stream, .*; its library must give 1 for"):
        place_of(Shown(np.zeros((4, 5), np.float32), stream=stream), "out", (4, 5), "float32")


@pytest.mark.parametrize(("stream", "told"), [(91, 91), (0, 1)])  # 0 is the default stream to CUDA, and none to DLPack
def test_dlpack_is_told_the_stream_that_has_to_wait(stream, told):
    array = Packed(np.zeros((4, 5), np.float32))
    assert device_array(array, "out", (4, 5), "float32", stream).stream is None
    assert array.consumer == told


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((4, 6), np.float32), r"out is float32 \(4, 6\); it must be float32 \(4, 5\) on the GPU"),
        (np.zeros((4, 5), np.float64), "out is float64"),
        (np.zeros((4, 5), np.int32), "out is int32"),
        (np.zeros((4, 10), np.float32)[:, ::2], "out is not contiguous"),
        (np.zeros((5, 4), np.float32).T, "out is not contiguous"),
    ],
)
def test_an_array_of_another_form_is_refused(shown, array, complaint):
    with pytest.raises(BadInputError, match=complaint):
        place_of(shown(array), "out", (4, 5), "float32")


@pytest.mark.parametrize("array", [np.zeros((4, 5), np.float32), Packed(np.zeros((4, 5), np.float32), device=1)])
def test_an_array_on_the_host_is_refused(array):
    with pytest.raises(BadInputError, match="out is not on a GPU"):
        place_of(array, "out", (4, 5), "float32")


def test_what_is_no_array_is_refused():
    with pytest.raises(BadInputError, match="out is a list"):
        place_of([1.0], "out", (4, 5), "float32")


def test_a_backend_of_the_host_says_that_it_cannot(tiny_bundle, tiny_frames):
    with (
        DepthEstimator.open(tiny_bundle, backend="onnxruntime-cpu") as estimate,
        pytest.raises(
            UsageError, match="onnxruntime-cpu cannot run single frames on data of the GPU; open the bundle with"
        ),
    ):
        estimate.on_device(Shown(tiny_frames[0]), Shown(np.zeros((24, 32), np.float32)), 0)
