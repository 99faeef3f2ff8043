import dataclasses

import onnx
import onnx.parser
import pytest

from mde_bench.machine.graph_work import Work, work_of
from mde_bench.machine.nvidia import GpuSpec
from mde_bench.machine.peaks import cpu_peaks, gpu_peaks, measure_cpu
from mde_bench.machine.roofline import Spent, physics
from mde_bench.report.table import conditions_of
from mde_bench.run import carry_out
from mde_runtime.machine import Machine

GIGA = 10**9


def graph(body, shapes="float[1, 8, 12, 16] x", result="float[1, c, h, w] y"):
    text = f'<ir_version: 10, opset_import: ["": 20]> net ({shapes}) => ({result}) {{ {body} }}'
    return onnx.parser.parse_model(text).SerializeToString()


def test_what_the_layers_move_is_their_inputs_weights_and_results():
    work = work_of(graph("y = MatMul (x, k)", "float[1, 8, 12, 16] x, float[16, 3] k"))
    assert work.weight_bytes == 0  # an input of the graph is no weight of it
    assert work.moved_bytes == 4 * (8 * 12 * 16 + 16 * 3 + 8 * 12 * 3)


@pytest.mark.parametrize(
    ("after", "result_bytes"),
    [
        ("q = QuantizeLinear (a, s, z) y = DequantizeLinear (q, s, z)", 1),
        ("r = Relu (a) q = QuantizeLinear (r, s, z) y = DequantizeLinear (q, s, z)", 1),
        ("y = Sigmoid (a)", 4),  # the layer's result stays FP32
        ("q = QuantizeLinear (a, s, z) d = DequantizeLinear (q, s, z) y = Add (a, d)", 4),
    ],
)
def test_a_layer_in_int8_moves_a_byte_for_a_value(after, result_bytes):
    constants = "s = Constant <value = float {0.1}> () z = Constant <value = int8 {0}> ()"
    before = "p = QuantizeLinear (x, s, z) i = DequantizeLinear (p, s, z) w = DequantizeLinear (k, s, z)"
    body = f"{constants} {before} a = MatMul (i, w) {after}"
    model = onnx.load_from_string(graph(body, "float[1, 8, 12, 16] x, int8[16, 3] k", "float[1, 8, 12, 3] y"))
    weights = onnx.helper.make_tensor("k", onnx.TensorProto.INT8, (16, 3), bytes(48), raw=True)
    model.graph.input.pop()
    model.graph.initializer.append(weights)
    work = work_of(model.SerializeToString())
    assert work.weight_bytes == 16 * 3
    assert work.moved_bytes == 8 * 12 * 16 + 16 * 3 + result_bytes * 8 * 12 * 3
    assert work.num_macs == 8 * 12 * 16 * 3


MACHINE = Machine("a chip", 4, ("avx2", "avx512f"), "Linux")


def test_what_is_promised_is_threads_times_clock_times_lanes():
    assert cpu_peaks(MACHINE, 2, 2e9, None).macs_per_s == {"fp32": 2 * 2e9 * 32}
    assert cpu_peaks(MACHINE, 99, 2e9, None).macs_per_s == {"fp32": 4 * 2e9 * 32}
    assert "clock or instruction set is not known" in cpu_peaks(MACHINE, 2, None, None)
    assert "not known" in cpu_peaks(dataclasses.replace(MACHINE, instruction_set=()), 2, 2e9, None)


def test_what_was_measured_is_the_peak_and_what_is_promised_stands_beside():
    peaks = cpu_peaks(MACHINE, 1, 2e9, (32 * GIGA, 20 * GIGA))
    assert (peaks.source, peaks.macs_per_s["fp32"], peaks.bytes_per_s) == ("measured", 32 * GIGA, 20 * GIGA)
    assert "(50% of instruction set x clock), 20 GB per second, measured" in peaks.in_words


def test_nothing_is_measured_below_the_larger_of_both_peaks_however_it_came_about():
    slow, fast = (cpu_peaks(MACHINE, 1, 2e9, (macs * GIGA, GIGA)).limits_macs_per_s["fp32"] for macs in (8, 128))
    assert slow == cpu_peaks(MACHINE, 1, 2e9, None).limits_macs_per_s["fp32"]
    assert fast == 2 * slow


def test_a_processor_is_measured_where_the_bench_runs():
    macs_per_s, bytes_per_s = measure_cpu(1)
    assert 1e8 < macs_per_s < 1e13  # from the smallest board to more than any core
    assert 1e8 < bytes_per_s < 1e13


def test_a_gpus_peaks_are_those_of_its_white_paper():
    # H100 SXM at 1.83 GHz: 989 T operations a second in dense FP16, 62 T in FP32; a multiply-add is two.
    peaks = gpu_peaks(GpuSpec("9.0", 132, 1.83e9, 3.35e12))
    assert 2 * peaks.macs_per_s["fp16"] == pytest.approx(989e12, rel=0.01)
    assert 2 * peaks.macs_per_s["fp32"] == pytest.approx(62e12, rel=0.01)
    assert peaks.source == "datasheet"
    assert gpu_peaks(GpuSpec("11.0", 20, 1.575e9, None)).bytes_per_s is None  # Thor shares the CPU's memory
    assert "compute capability 99.0 is not in the bench's table" in gpu_peaks(GpuSpec("99.0", 1, 1e9, None))
    assert "does not tell which GPU" in gpu_peaks(None)


def test_a_figure_that_nothing_was_held_against_is_named_with_the_reason(tiny_plan, badly):
    plan = tiny_plan(badly("steady"), dataclasses.replace(badly("steady"), name="gpu", backend="onnxruntime-cuda"))
    unknown = gpu_peaks(GpuSpec("99.0", 1, 1e9, None))
    result = carry_out(dataclasses.replace(plan, peaks={**plan.peaks, "cuda": unknown})).result
    assert f"not held against its peak: gpu: {unknown}" in conditions_of(result)
    assert result.rows[0].physics is not None
    uncounted = carry_out(dataclasses.replace(tiny_plan(badly("steady")), work={})).result
    assert "without onnx" in conditions_of(uncounted)[-1]


def test_weights_that_fit_no_cache_come_from_memory_and_no_memory_is_that_fast():
    work = Work(1, 300_000_000_000, 0)  # 300 GB of weights in 5 ms: 60 TB a second
    peaks = cpu_peaks(MACHINE, 1, 2e9, (100 * GIGA, 10 * GIGA))
    assert physics(work, peaks, "fp32", Spent(0.005, 0.0, 0.005)).impossible_because
    hbm4 = Spent(0.0136, 0.0, 0.0136)  # 22 TB a second, which is announced
    assert physics(work, peaks, "fp32", hbm4).impossible_because is None


def judged(backend_s, arithmetic="fp32", host_s=0.0, num_macs=GIGA, moved_bytes=0, **on_gpu):
    peaks = cpu_peaks(MACHINE, 1, 2e9, (100 * GIGA, 10 * GIGA))
    return physics(
        Work(num_macs, 0, moved_bytes), peaks, arithmetic, Spent(backend_s, host_s, backend_s + host_s, **on_gpu)
    )


def test_a_time_that_the_peak_allows_is_possible():
    found = judged(0.02)
    assert found.impossible_because is None
    assert found.share_of_peak == pytest.approx(0.5)


def test_what_is_faster_than_a_measured_peak_becomes_the_peak_unless_it_cannot_be():
    peaks = cpu_peaks(MACHINE, 1, 2e9, (100 * GIGA, 10 * GIGA))
    assert peaks.with_reached(90 * GIGA) == peaks
    assert peaks.with_reached(150 * GIGA).macs_per_s == {"fp32": 150 * GIGA}
    assert peaks.with_reached(150 * GIGA).limits_macs_per_s == peaks.limits_macs_per_s
    assert peaks.with_reached(1e6 * GIGA) == peaks
    by_datasheet = cpu_peaks(MACHINE, 1, 2e9, None)
    assert by_datasheet.with_reached(1.5 * by_datasheet.macs_per_s["fp32"]) == by_datasheet


def test_no_candidate_in_fp32_is_above_a_measured_peak(tiny_plan, badly):
    """Far too little was measured, as with a slow BLAS, and what the clock promises allows more."""
    slow = cpu_peaks(MACHINE, 1, 2e9, (10**6, GIGA))
    plan = tiny_plan(badly("steady"))
    plan = dataclasses.replace(plan, work={"fp32": Work(10**6, 0, 0)}, peaks={**plan.peaks, "cpu": slow})
    (row,) = carry_out(plan).result.rows
    assert row.physics.share_of_peak <= 1.0
    assert row.physics.peaks.macs_per_s["fp32"] > 10**6


def test_a_time_below_what_turbo_and_winograd_could_reach_is_impossible():
    assert "at the very least" in judged(0.002).impossible_because
    assert judged(0.002, arithmetic="bf16").impossible_because is None


def test_the_bound_is_where_the_time_goes():
    assert judged(0.011).near == "compute"
    assert judged(0.011, host_s=0.02).near == "host"
    assert judged(0.5).near == "launches or load"
    assert judged(0.1, moved_bytes=0.9 * GIGA).near == "memory"
    assert judged(0.011, compute_s=0.010, copies_s=0.006).near == "copy"
    assert judged(0.1, compute_s=0.011, copies_s=0.0).near == "launch"
    assert judged(0.012, compute_s=0.011, copies_s=0.0).near == "compute"


def test_a_figure_that_cannot_be_is_refused_and_the_row_is_a_failure(tiny_plan, badly):
    cheat = dataclasses.replace(tiny_plan(badly("steady")), work={"fp32": Work(10**15, 0, 0)})
    (row,) = carry_out(cheat).result.rows
    assert "at the very least" in row.failure
    assert row.speed is None
