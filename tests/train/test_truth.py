import torch

from mde_train.models import model_named
from mde_train.truth import compared


def truth(height: int, width: int, depth_m: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((1, 1, height, width), depth_m), torch.ones(1, 1, height, width, dtype=torch.bool)


def test_padding_is_not_compared():
    contract = model_named("fast").contract(144, 256)
    output = torch.zeros(1, 1, 160, 256)
    output[:, :, 8:152] = 5.0  # the frame's rows
    predicted_m, truth_m, valid = compared(output, *truth(144, 256, 5.0), contract, mask_sky=False)
    assert predicted_m.shape == truth_m.shape == valid.shape == (1, 1, 144, 256)
    assert (predicted_m == truth_m).all()


def test_truth_is_clipped_before_it_is_resized():
    contract = model_named("resnet34-seed").contract(144, 256)
    depth_m, valid = truth(144, 256, 10.0)
    depth_m[..., :128] = 100.0  # the sky
    _, truth_m, _ = compared(torch.zeros(1, 1, 224, 224), depth_m, valid, contract, mask_sky=False)
    assert truth_m.max() <= 20.0 + 1e-4  # the weights of a pixel sum to 1 within float32
    assert truth_m.shape == (1, 1, 224, 224)


def test_the_sky_is_far_or_left_out_as_the_recipe_says():
    contract = model_named("fast").contract(144, 256)
    for mask_sky in (False, True):
        _, truth_m, valid = compared(torch.zeros(1, 1, 160, 256), *truth(144, 256, 100.0), contract, mask_sky=mask_sky)
        assert (truth_m == 20.0).all()
        assert bool(valid.any()) is not mask_sky


def test_a_pixel_that_was_resized_from_an_invalid_one_is_not_valid():
    contract = model_named("resnet34-seed").contract(144, 256)
    depth_m, valid = truth(144, 256, 10.0)
    valid[..., 100:110, 100:110] = False
    _, _, resized = compared(torch.zeros(1, 1, 224, 224), depth_m, valid, contract, mask_sky=False)
    touched = 10 * 224 / 144 * 10 * 224 / 256
    assert touched <= int((~resized).sum()) < 2 * touched


def test_a_small_map_is_compared_with_the_truth_at_its_pixels():
    contract = model_named("fcrn").contract(228, 304)
    rows = torch.arange(228.0).view(1, 1, -1, 1).expand(1, 1, 228, 304) / 50
    predicted_m, truth_m, _ = compared(torch.zeros(1, 1, 57, 76), rows, rows >= 0, contract, mask_sky=False)
    assert predicted_m.shape == truth_m.shape == (1, 1, 57, 76)
    torch.testing.assert_close(truth_m[0, 0, :3, 0], torch.tensor([2.0, 6.0, 10.0]) / 50)
