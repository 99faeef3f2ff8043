import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_train.models import MODELS, build_model, model_named
from mde_train.models.exact_range import ExactRange


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(part, kind) for part in module.modules())


def num_parameters(network: nn.Module, trainable: bool | None = None) -> int:
    return sum(p.numel() for p in network.parameters() if trainable in (None, p.requires_grad))


@pytest.fixture(scope="module")
def seed() -> nn.Module:
    return build_model("resnet34-seed").eval()


def test_the_seed_has_the_published_counts(seed: nn.Module):
    assert num_parameters(seed) == 24_089_475
    assert num_parameters(seed, trainable=True) == 24_079_939
    assert num_parameters(seed, trainable=False) == 9_536
    assert sum(buffer.numel() for buffer in seed.buffers()) == 18_024


def test_the_seed_has_the_published_layers(seed: nn.Module):
    assert (count(seed, nn.Conv2d), count(seed, nn.ConvTranspose2d), count(seed, nn.BatchNorm2d)) == (39, 5, 40)


def test_the_seeds_published_checkpoints_would_load_by_their_keys(seed: nn.Module):
    keys = set(seed.state_dict())
    assert {key.split(".")[0] for key in keys} == {"encoder_layers", "decoder"}
    assert {key.split(".")[1] for key in keys if key.startswith("encoder_layers")} == {"0", "1", "4", "5", "6", "7"}
    assert {key.split(".")[1] for key in keys if key.startswith("decoder")} == {
        *("0", "1", "3", "4", "6", "7", "8", "10", "11", "13", "14", "15")
    }


def test_the_seeds_frozen_batchnorm_goes_on_updating_its_statistics():
    network = build_model("resnet34-seed").train()
    before = network.get_buffer("encoder_layers.1.running_mean").clone()
    network(torch.rand(1, 3, 64, 64))
    assert not torch.equal(network.get_buffer("encoder_layers.1.running_mean"), before)


def test_the_seeds_end_is_linear(seed: nn.Module):
    last = list(seed.modules())[-1]
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        last.bias.fill_(-50.0)
        assert seed(torch.rand(1, 3, 64, 64)).max() < 0


def test_imagenet_weights_without_a_network_name_the_file_that_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(MachineError, match=r"--weights resnet34-b627a593\.pth"):
        build_model("resnet34-seed", weights="imagenet")


def test_weights_from_a_file_fill_the_encoder(tmp_path):
    from mde_train.torchvision_ops import import_torchvision

    torch.manual_seed(3)
    resnet = import_torchvision().models.resnet34()
    torch.save(resnet.state_dict(), tmp_path / "resnet34.pth")
    network = build_model("resnet34-seed", weights=tmp_path / "resnet34.pth")
    assert torch.equal(network.get_parameter("encoder_layers.0.weight"), resnet.conv1.weight)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BadInputError, match=r"other\.pth: not torchvision's resnet34 weights"):
        build_model("resnet34-seed", weights=tmp_path / "other.pth")


def test_fast_keeps_to_its_budget():
    network = build_model("fast").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network(torch.zeros(1, 3, 160, 256))
    assert num_parameters(network) <= 1_500_000
    assert flops.get_total_flops() / 2 <= 0.6e9  # a multiply-add counts as two


def test_fast_has_no_grouped_convolution():
    assert all(part.groups == 1 for part in build_model("fast").modules() if isinstance(part, nn.Conv2d))


@pytest.mark.parametrize(("bias", "end_m"), [(-99.0, 0.0), (99.0, 20.0)])
def test_fast_reaches_both_ends_of_its_range_exactly(bias: float, end_m: float):
    network = build_model("fast").eval()
    with torch.no_grad():
        network.head.bias.fill_(bias)
        assert (network(torch.rand(1, 3, 32, 32)) == end_m).all()


def test_a_pixel_beyond_an_end_keeps_the_gradient_that_brings_it_back():
    beyond = torch.tensor([25.0, -5.0], requires_grad=True)
    end = ExactRange(0.0, 20.0).train()
    (end(beyond) - torch.tensor([15.0, 5.0])).square().sum().backward()
    assert beyond.grad.tolist() == [10.0, -10.0]


def test_a_pixel_beyond_an_end_loses_the_gradient_that_drives_it_out():
    beyond = torch.tensor([25.0, -5.0], requires_grad=True)
    (ExactRange(0.0, 20.0).train()(beyond) - torch.tensor([30.0, -9.0])).square().sum().backward()
    assert beyond.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", MODELS)
def test_a_models_output_fits_its_contract(name: str):
    contract = model_named(name).contract(144, 256)
    network = build_model(name).eval()
    with torch.no_grad():
        output = network(torch.zeros(1, 3, contract.to_network.height_px, contract.to_network.width_px))
    top, left, bottom, right = contract.from_network.covers
    assert output.shape == (1, 1, bottom - top, right - left)


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="the models are resnet34-seed, fast"):
        build_model("resnet35")
