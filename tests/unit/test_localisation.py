"""Maps against masks: every score by hand, by its library, and what blind maps get."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from medattn.evaluation import (
    SCORES,
    average_precision,
    centred_gaussian,
    chance,
    deletion_insertion,
    grad_cam,
    localisation,
    pixel_auc,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from medattn.evaluation.localisation import tolerance_of, widened

MAP = torch.tensor([[[0.9, 0.5, 0.5], [0.0, 0.4, 0.5], [-1.0, 0.1, 0.2]]])
MASK = torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 0]]]).bool()


def blind(n=400, side=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(n, side, side, dtype=torch.bool)
    masks[:, 2:6, 3:9] = True
    return torch.rand(n, side, side, generator=generator), masks


def test_mass_and_rank_by_hand():
    assert relevance_mass(MAP, MASK).item() == pytest.approx((0.9 + 0.5 + 0.4) / (0.9 + 3 * 0.5 + 0.4 + 0.1 + 0.2))
    # of the 3 highest one is 0.9, and the other two are two of three 0.5: one of these is on the mask
    assert relevance_rank(MAP, MASK).item() == pytest.approx((1 + 2 / 3) / 3)
    assert relevance_rank(MASK.float(), MASK).item() == 1
    assert relevance_rank(-MASK.float(), MASK).item() == 0


def test_auc_and_precision_equal_those_of_scikit_learn():
    maps, masks = blind(5)
    maps = maps.round(decimals=1)  # many ties
    for k in range(5):
        truth, values = masks[k].flatten().numpy(), maps[k].double().flatten().numpy()
        assert pixel_auc(maps, masks)[k].item() == pytest.approx(roc_auc_score(truth, values))
        assert average_precision(maps, masks)[k].item() == pytest.approx(average_precision_score(truth, values))


def test_tolerance_widens_the_mask_as_a_disc():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    assert int(widened(mask, 2).sum()) == 13  # pixels within 2 of the middle one
    assert torch.equal(widened(mask, 0), mask)
    highest = torch.zeros(1, 9, 9)
    highest[0, 4, 6] = 1
    assert [bool(pointing_game(highest, mask, by)) for by in (0, 1, 2)] == [False, False, True]
    assert tolerance_of(torch.zeros(1, 224, 224)) == 15 and tolerance_of(torch.zeros(1, 28, 28)) == 2


@pytest.mark.parametrize("score", SCORES)
def test_blind_maps_score_what_chance_says(score):
    maps, masks = blind()
    slack = 0.02 if score == "precision" else 0  # of a mask of few pixels
    expected = chance(masks)[score].mean().item()
    found = localisation(maps, masks)[score]
    reach = 4 * found.std().item() / len(found) ** 0.5 + slack
    assert found.mean().item() == pytest.approx(expected, abs=reach)


@pytest.mark.parametrize("score", SCORES)
def test_the_mask_itself_is_the_best_map(score):
    _, masks = blind(3)
    assert localisation(masks.float(), masks)[score].tolist() == [1, 1, 1]


@pytest.mark.parametrize("score", ["rank", "auc", "precision", "pointing"])
def test_only_mass_asks_how_large_values_are(score):
    maps, masks = blind(3)
    torch.testing.assert_close(SCORES[score](maps, masks), SCORES[score]((5 * maps).exp(), masks))


@pytest.mark.parametrize("score", SCORES)
def test_a_pixel_may_be_ruled_out(score):
    maps, masks = blind(3)
    least = maps.clone()
    least[:, 0], maps[:, 0] = maps.min() - 1 if score != "mass" else 0, -torch.inf
    torch.testing.assert_close(SCORES[score](maps, masks), SCORES[score](least, masks))


def test_what_cannot_be_scored_is_nan():
    maps, masks = torch.rand(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    assert relevance_rank(maps, masks).isnan() and average_precision(maps, masks).isnan()
    assert relevance_mass(-maps, ~masks).isnan()


@pytest.mark.parametrize("score", SCORES)
def test_maps_and_masks_of_other_shapes_are_refused(score):
    masks = torch.rand(2, 4, 4) > 0.5
    with pytest.raises(ValueError, match="uint8 and must be bool"):
        SCORES[score](torch.rand(2, 4, 4), masks.to(torch.uint8))
    with pytest.raises(ValueError, match="maps hold nan"):
        SCORES[score](torch.full((2, 4, 4), torch.nan), masks)
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        SCORES[score](torch.rand(2, 4, 4), torch.ones(2, 4, 5, dtype=torch.bool))


def test_arrays_are_refused_by_their_type():
    with pytest.raises(ValueError, match="maps and masks are ndarray and Tensor and must be tensors"):
        SCORES["auc"](torch.rand(2, 4, 4).numpy(), torch.ones(2, 4, 4, dtype=torch.bool))


def test_centre_prior_of_a_wide_image_is_as_wide():
    wide = centred_gaussian((4, 8))
    assert wide.shape == (4, 8) and torch.equal(wide, centred_gaussian((8, 4)).T)
    assert torch.equal(wide[:, 0], wide[:, 7]) and torch.equal(wide[0], wide[3])
    torch.testing.assert_close(wide[2] / wide[2].max(), centred_gaussian(8)[4] / centred_gaussian(8)[4].max())
    assert torch.equal(centred_gaussian((6, 6)), centred_gaussian(6))


def test_centre_prior_is_highest_in_the_middle_and_alike_on_all_sides():
    prior = centred_gaussian(8)
    assert torch.equal(prior, prior.flip(0)) and torch.equal(prior, prior.T)
    assert prior.argmax().item() in (27, 28, 35, 36)


class Bright(nn.Module):
    """Answers class 1 by the mean brightness of the left half; features are the image."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.features.weight.data = torch.tensor([1.0, -0.5]).view(2, 1, 1, 1)

    def forward(self, x):
        return self.answer(self.features(x))

    def answer(self, features):
        left = features[..., : features.shape[-1] // 2].mean((2, 3))
        return torch.stack([torch.zeros(len(left)), 4 * (left[:, 0] - left[:, 1])], 1)


def test_grad_cam_is_its_formula():
    torch.manual_seed(0)
    network, images = Bright().train(), torch.randint(0, 128, (3, 1, 8, 8), dtype=torch.uint8)
    images[:2] += 128  # bright: class 1
    network.features.eval()  # frozen
    maps = grad_cam(network, images, "features")
    assert network.training and not network.features.training and maps.shape == (3, 8, 8)
    activations = network.features(images.float() / 127.5 - 1).detach().requires_grad_()
    logits = network.answer(activations)
    assert logits.argmax(1).tolist() == [1, 1, 0]
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), activations)
    alpha = gradient.mean((2, 3), keepdim=True)  # of the paper: the mean gradient over positions
    torch.testing.assert_close(maps, (alpha * activations).sum(1).relu().detach(), rtol=1e-4, atol=1e-6)
    assert (maps[:2] > 0).any() and not maps[2].any()
    with pytest.raises(ValueError, match="layer='body' is no module of Bright, such as features"):
        grad_cam(network, images, "body")


def test_deletion_falls_and_insertion_rises_first_where_the_map_is_right():
    torch.manual_seed(0)
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    images[:, :, 1:15, 0:7] = 255  # mostly bright on the left
    right = images[:, 0].float()
    network = Bright()
    deletion, insertion = deletion_insertion(network, images, right, steps=4)
    worse_deletion, worse_insertion = deletion_insertion(network, images, -right, steps=4)
    assert deletion.shape == (2, 5) and deletion.min() >= 0 and deletion.max() <= 1
    torch.testing.assert_close(deletion[:, 0], insertion[:, -1])  # nothing gone is everything there
    torch.testing.assert_close(deletion[:, -1], insertion[:, 0])
    answered = deletion[:, 0] > 0.5
    assert answered.all()
    assert (deletion.mean(1) < worse_deletion.mean(1)).all() and (insertion.mean(1) > worse_insertion.mean(1)).all()
    with pytest.raises(ValueError, match="must be"):
        deletion_insertion(network, images, right[:1])
