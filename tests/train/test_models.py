import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_train.models import MODELS, build_model, contract_of, model_named
from mde_train.models.fcrn import up_convolution
from mde_train.models.parts.doubling import doubled
from mde_train.models.parts.exact_range import ExactRange


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(part, kind) for part in module.modules())


def num_parameters(network: nn.Module, trainable: bool | None = None) -> int:
    return sum(p.numel() for p in network.parameters() if trainable in (None, p.requires_grad))


@pytest.fixture(scope="module")
def seed() -> nn.Module:
    return build_model("resnet34-seed").eval()


def test_the_seeds_batchnorms_hold_the_published_buffers(seed: nn.Module):
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


def test_imagenet_weights_that_were_damaged_since_their_download_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet34-b627a593.pth"
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    with pytest.raises(
        BadInputError, match=r"b627a593\.pth: damaged: its SHA-256 does not begin with b627a593; delete"
    ):
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


def test_weights_of_an_encoder_with_a_flipped_bit_are_refused(tmp_path):
    path = tmp_path / "resnet34.pth"
    torch.save({"conv1.weight": torch.zeros(1000)}, path)
    content = path.read_bytes()
    at = content.index(bytes(4000))
    path.write_bytes(content[:at] + b"\x40" + content[at + 1 :])
    with pytest.raises(BadInputError, match=r"resnet34\.pth: damaged: .* does not match its checksum"):
        build_model("resnet34-seed", weights=path)


def test_fast_keeps_to_its_budget():
    network = build_model("fast").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network(torch.zeros(1, 3, 160, 256))
    assert num_parameters(network) <= 1_500_000
    assert flops.get_total_flops() / 2 <= 0.6e9  # a multiply-add counts as two


def test_fast_has_no_grouped_convolution():
    assert all(part.groups == 1 for part in build_model("fast").modules() if isinstance(part, nn.Conv2d))


@pytest.mark.parametrize("name", ["fast", "resnet34-skip", "mobilenetv2-skip"])
@pytest.mark.parametrize(("bias", "end_m"), [(-99.0, 0.0), (99.0, 20.0)])
def test_our_networks_reach_both_ends_of_their_range_exactly(name: str, bias: float, end_m: float):
    network = build_model(name).eval()
    with torch.no_grad():
        network.head.conv.bias.fill_(bias)
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


@pytest.mark.parametrize(
    ("name", "in_all", "trainable"),
    [
        ("resnet34-seed", 24_089_475, 24_079_939),
        ("fcrn", 52_964_289, 29_456_257),
        ("cnn-fc", 319_120_760, 319_120_760),
        ("cnn-trans", 481_261, 481_261),
        ("cnn", 394_741, 394_741),
    ],
)
def test_the_seeds_networks_have_their_published_counts(name: str, in_all: int, trainable: int):
    with torch.device("meta"):  # counted without memory
        network = build_model(name)
    assert (num_parameters(network), num_parameters(network, trainable=True)) == (in_all, trainable)


def test_fcrn_has_the_rows_of_its_published_summary():
    rows, network = [], build_model("fcrn").eval()
    for part in network.modules():  # one row a call, containers left out
        if part is not network and not isinstance(part, nn.Sequential):
            part.register_forward_hook(lambda part, _, output: rows.append((type(part).__name__, tuple(output.shape))))
    with torch.no_grad():
        network(torch.zeros(1, 3, 228, 304))
    assert len(rows) == 191
    assert rows[171][1] == (1, 2048, 8, 10)
    assert rows[-1] == ("ReLU", (1, 1, 62, 78))


def test_fcrns_up_convolution_is_zeros_inserted_and_a_5x5_convolution():
    up, x = up_convolution(6, 4), torch.randn(2, 6, 5, 7)
    spread = torch.zeros(2, 6, 10, 14)
    spread[:, :, ::2, ::2] = x
    expected = F.conv2d(spread, up.weight.flip(2, 3).transpose(0, 1), up.bias, padding=2)
    torch.testing.assert_close(up(x), expected)


def test_fcrns_frozen_encoder_is_the_whole_resnet50():
    with torch.device("meta"):
        network = build_model("fcrn")
    assert num_parameters(network, trainable=False) == num_parameters(network.encoder) == 23_508_032


@pytest.mark.parametrize("width", [0, 4333])
def test_cnn_fc_of_an_impossible_width_is_refused(width: int):
    with pytest.raises(UsageError, match="not between 1 and 4332"):
        build_model("cnn-fc", width=width)


def test_doubling_is_bilinear_there_and_back():
    x, same = (torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    ours, plain = doubled(x), F.interpolate(same, scale_factor=2.0, mode="bilinear", align_corners=False)
    for doubled_map in (ours, plain):
        torch.cat((doubled_map, doubled_map), dim=1).square().sum().backward()
    assert torch.equal(ours, plain)
    torch.testing.assert_close(x.grad, same.grad)


@pytest.mark.parametrize("name", ["fast", "resnet34-skip", "mobilenetv2-skip"])
def test_our_networks_keep_the_size_of_their_input(name: str):
    with torch.device("meta"):
        assert build_model(name).eval()(torch.zeros(1, 3, 160, 256)).shape == (1, 1, 160, 256)


@pytest.mark.parametrize("name", ["fcrn", "cnn-fc", "cnn-trans", "cnn"])
def test_the_slides_networks_give_labels_of_their_size(name: str):
    with torch.device("meta"):
        assert build_model(name).eval()(torch.zeros(1, 3, 228, 304)).shape == (1, 1, 57, 76)


@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_network_gives_depth_that_a_gradient_can_change(name: str):
    torch.manual_seed(0)
    network = build_model(name, **({"width": 8} if name == "cnn-fc" else {})).train()
    to_network = model_named(name).contract(144, 256).to_network
    network(torch.rand(2, 3, to_network.height_px, to_network.width_px)).sum().backward()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    assert any((parameter.grad != 0).any() for parameter in trained)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_a_model_can_be_trained(name: str):
    with torch.device("meta"):
        network = build_model(name)
        if num_parameters(network, trainable=False):
            network = build_model(name, is_frozen=False)
    assert num_parameters(network, trainable=True) == num_parameters(network)


def test_an_option_that_a_model_does_not_have_is_answered_with_those_it_has():
    with pytest.raises(UsageError, match="model cnn-fc: no option 'weights'; its options are: width"):
        build_model("cnn-fc", weights="imagenet")


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="the models are resnet34-seed, "):
        build_model("resnet35")


@pytest.mark.parametrize("option", ["has_skips", "has_range"])
def test_the_default_model_can_do_without_what_it_is_said_to_owe_its_accuracy_to(option):
    whole, without = build_model("resnet34-skip"), build_model("resnet34-skip", **{option: False})
    assert without.eval()(torch.rand(1, 3, 64, 96)).shape == (1, 1, 64, 96)
    assert num_parameters(without) <= num_parameters(whole)


def test_without_a_range_depth_leaves_it():
    network = build_model("resnet34-skip", has_range=False).eval()
    with torch.no_grad():
        network.head.conv.bias.fill_(-5.0)
        assert network(torch.rand(1, 3, 64, 96)).min() < 0


RANGED = ("fast", "resnet34-skip", "mobilenetv2-skip")


@pytest.mark.parametrize("name", RANGED)
def test_the_range_of_our_networks_is_an_option_of_network_and_contract_alike(name: str):
    options = {"near_m": 0.1, "far_m": 4}
    network, contract = build_model(name, **options).eval(), contract_of(name, 60, 90, options)
    assert (contract.from_network.near_m, contract.from_network.far_m) == (0.1, 4.0)
    with torch.no_grad():
        for bias, end_m in ((-99.0, 0.1), (99.0, 4.0)):
            network.head.conv.bias.fill_(bias)
            assert network(torch.rand(1, 3, 32, 32)).unique().tolist() == pytest.approx([end_m])
    assert isinstance(network.head.range.far_m, float), "a whole number is a float too: torch.export mixes no kinds"


@pytest.mark.parametrize("name", RANGED)
@pytest.mark.parametrize("options", [{"near_m": 5, "far_m": 5}, {"near_m": -1, "far_m": 5}, {"far_m": 1e12}])
def test_a_range_that_is_none_is_refused(name: str, options: dict[str, float]):
    with pytest.raises(UsageError, match="give 0 <= near_m < far_m"):
        build_model(name, **options)


@pytest.mark.parametrize("far_m", [float("nan"), float("inf"), "4", True])
def test_an_end_of_a_range_is_a_number(far_m: object):
    with pytest.raises(UsageError, match=r"option far_m: .* is not a valid value"):
        build_model("fast", far_m=far_m)


def test_the_range_of_a_network_of_the_papers_is_fixed():
    with pytest.raises(UsageError, match="no option 'far_m'"):
        build_model("fcrn", far_m=4)
