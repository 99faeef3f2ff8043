import dataclasses

import onnx
import onnx.parser
import pytest

from mde_bench.physics import peak_macs_per_s, physics
from mde_bench.run import carry_out
from mde_bench.work import Work, work_of
from mde_runtime.machine import Machine

GIGA = 10**9


def graph(body, shapes="float[1, 8, 12, 16] x", result="float[1, c, h, w] y"):
    text = f'<ir_version: 10, opset_import: ["": 20]> net ({shapes}) => ({result}) {{ {body} }}'
    return onnx.parser.parse_model(text).SerializeToString()


@pytest.mark.parametrize(
    ("body", "weights", "num_macs"),
    [
        ("y = Conv <pads = [1, 1, 1, 1]> (x, k)", "float[5, 8, 3, 3] k", 12 * 16 * 5 * 8 * 9),
        ("y = Conv <pads = [1, 1, 1, 1], group = 8> (x, k)", "float[8, 1, 3, 3] k", 12 * 16 * 8 * 9),
        ("y = ConvTranspose <strides = [2, 2]> (x, k)", "float[8, 5, 2, 2] k", 12 * 16 * 8 * 5 * 4),
        ("y = MatMul (x, k)", "float[16, 3] k", 8 * 12 * 3 * 16),
        ("y = Relu (x)", "float[1] k", 0),
    ],
)
def test_multiply_adds_are_those_of_the_definition(body, weights, num_macs):
    assert work_of(graph(body, f"float[1, 8, 12, 16] x, {weights}")).num_macs == num_macs


def test_the_peak_is_threads_times_clock_times_lanes():
    machine = Machine("a chip", 4, ("avx2", "avx512f"), "Linux")
    assert peak_macs_per_s(machine, 2, 2e9) == 2 * 2e9 * 32
    assert peak_macs_per_s(machine, 99, 2e9) == 4 * 2e9 * 32
    assert peak_macs_per_s(machine, 2, None) is None
    assert peak_macs_per_s(dataclasses.replace(machine, instruction_set=()), 2, 2e9) is None


def judged(backend_s, arithmetic="fp32", host_s=0.0, num_macs=GIGA):
    return physics(Work(num_macs, 0), 100 * GIGA, arithmetic, backend_s, host_s, backend_s)


def test_a_time_that_the_peak_allows_is_possible():
    found = judged(0.02)
    assert found.impossible_because is None
    assert found.share_of_peak == pytest.approx(0.5)


def test_a_time_below_what_turbo_and_winograd_could_reach_is_impossible():
    assert "at the very least" in judged(0.002).impossible_because
    assert judged(0.002, arithmetic="bf16").impossible_because is None


def test_the_bound_is_where_the_time_goes():
    assert judged(0.011).near == "compute"
    assert judged(0.011, host_s=0.02).near == "host"
    assert judged(0.5).near == "memory, launches or load"


def test_a_figure_that_cannot_be_is_refused_and_the_row_is_a_failure(tiny_plan, badly):
    cheat = dataclasses.replace(tiny_plan(badly("steady")), work={"fp32": Work(10**15, 0)})
    (row,) = carry_out(cheat).result.rows
    assert "at the very least" in row.failure
    assert row.speed is None
