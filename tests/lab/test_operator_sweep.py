"""A sample of the sweep: operators whose meaning changed between opsets keep it through the conversion."""

import numpy as np
import onnx_ir as ir
import pytest

from lab import operator_sweep
from lab.operator_sweep import graph_of, node_cases, outcome_of, sweep


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in node_cases()}


@pytest.mark.parametrize(
    "name",
    [
        "test_resize_downsample_scales_linear",
        "test_resize_upsample_scales_nearest",
        "test_scatternd_add",
        "test_group_normalization_epsilon",
        "test_clip_example",
        "test_softmax_axis_1",
        "test_averagepool_2d_ceil",
        "test_reduce_mean_keepdims_example",
    ],
)
def test_an_operator_means_the_same_in_every_opset_in_which_it_changed(name):
    rows = list(sweep(name))
    assert {row.case for row in rows} == {name}
    assert "same" in {row.outcome for row in rows}
    assert [row for row in rows if row.outcome == "wrong"] == []


def test_a_conversion_that_changes_an_operator_is_found(cases, monkeypatch):
    model = graph_of(cases["test_clip_example"], 13)
    assert outcome_of(model) == ("same", "")
    convert = operator_sweep.foreign.network_from_onnx

    def wrongly(*arguments):
        network, original = convert(*arguments)
        for value in network.graph.initializers.values():
            if value.const_value.dtype.name == "FLOAT":
                value.const_value = ir.tensor(np.asarray(value.const_value.numpy()) * 1.5)
        return network, original

    monkeypatch.setattr(operator_sweep.foreign, "network_from_onnx", wrongly)
    assert outcome_of(model) == ("wrong", "")
