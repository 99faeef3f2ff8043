"""The first layer and the step in which an FP32 graph differs from its network are named."""

import numpy as np
import pytest
import torch
from torch import nn

from mde_export.sources.first_difference import first_difference


class Honest(nn.Module):
    """The middle layer of a network."""

    def forward(self, x):
        return x * 2


class Lying(nn.Module):
    """Says something else to whoever exports it."""

    def forward(self, x):
        return x * 3 if torch.compiler.is_exporting() else x * 2


class Random(nn.Module):
    """Is in training mode, whatever it is told."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


def network_of(middle):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), middle, nn.Conv2d(4, 1, 1))


@pytest.fixture
def explain(contract, noise):
    frame = noise.integers(0, 256, (1, 12, 20, 3), np.uint8)
    return lambda middle: first_difference(network_of(middle), contract(), frame)


def test_a_layer_that_lies_to_the_exporter_is_named(explain):
    said = explain(Lying())
    assert said.startswith("the graph that PyTorch captured differs from the network, first at layer 1 (by up to ")


def test_a_layer_that_answers_by_chance_is_named(explain):
    assert explain(Random()).startswith("the network gives a different result on each run, first at layer 1 (by")


def test_an_honest_network_agrees_layer_by_layer(explain):
    assert explain(Honest()).startswith("layer by layer the graph agrees with the network on this frame; ")
