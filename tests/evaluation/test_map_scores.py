"""Maps against masks: every score by hand, by its library, and for blind maps."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from medattn.evaluation import (
    SCORES,
    average_precision,
    centred_gaussian,
    chance,
    chance_of_pointing,
    localisation,
    pixel_auc,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from medattn.evaluation.map_scores import tolerance_of, widened

MAP = torch.tensor([[[0.9, 0.5, 0.5], [0.0, 0.4, 0.5], [-1.0, 0.1, 0.2]]])
MASK = torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 0]]]).bool()


def blind(n=400, side=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(n, side, side, dtype=torch.bool)
    masks[:, 2:6, 3:9] = True
    return torch.rand(n, side, side, generator=generator), masks


def test_mass_and_rank_by_hand():
    assert relevance_mass(MAP, MASK).item() == pytest.approx(
        (0.9 + 0.5 + 0.4) / (0.9 + 3 * 0.5 + 0.4 + 0.1 + 0.2)
    )
    # the 3 highest are 0.9 and two of the three 0.5, of which one is on the mask
    assert relevance_rank(MAP, MASK).item() == pytest.approx((1 + 2 / 3) / 3)
    assert relevance_rank(MASK.float(), MASK).item() == 1
    assert relevance_rank(-MASK.float(), MASK).item() == 0


def test_auc_and_precision_equal_scikit_learns():
    maps, masks = blind(5)
    maps = maps.round(decimals=1)  # many ties
    for k in range(5):
        truth, values = masks[k].flatten().numpy(), maps[k].double().flatten().numpy()
        assert pixel_auc(maps, masks)[k].item() == pytest.approx(roc_auc_score(truth, values))
        assert average_precision(maps, masks)[k].item() == pytest.approx(
            average_precision_score(truth, values)
        )


def test_tolerance_widens_the_mask_as_a_disc():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    assert int(widened(mask, 2).sum()) == 13  # pixels within 2 of the middle one
    assert torch.equal(widened(mask, 0), mask)
    highest = torch.zeros(1, 9, 9)
    highest[0, 4, 6] = 1
    assert [bool(pointing_game(highest, mask, by)) for by in (0, 1, 2)] == [False, False, True]
    assert (
        tolerance_of(torch.zeros(1, 224, 224)) == 15 and tolerance_of(torch.zeros(1, 28, 28)) == 2
    )


@pytest.mark.parametrize("score", SCORES)
def test_blind_maps_score_as_chance(score):
    maps, masks = blind()
    slack = 0.02 if score == "precision" else 0  # of a mask of few pixels
    expected = chance(masks)[score].mean().item()
    scores = localisation(maps, masks)[score]
    reach = 4 * scores.std().item() / len(scores) ** 0.5 + slack
    assert scores.mean().item() == pytest.approx(expected, abs=reach)


@pytest.mark.parametrize("score", SCORES)
def test_mask_itself_is_the_best_map(score):
    _, masks = blind(3)
    assert localisation(masks.float(), masks)[score].tolist() == [1, 1, 1]


@pytest.mark.parametrize("score", ["rank", "auc", "precision", "pointing"])
def test_only_mass_depends_on_size_of_values(score):
    maps, masks = blind(3)
    torch.testing.assert_close(SCORES[score](maps, masks), SCORES[score]((5 * maps).exp(), masks))


@pytest.mark.parametrize("score", SCORES)
def test_pixel_may_be_ruled_out(score):
    maps, masks = blind(3)
    least = maps.clone()
    least[:, 0], maps[:, 0] = maps.min() - 1 if score != "mass" else 0, -torch.inf
    torch.testing.assert_close(SCORES[score](maps, masks), SCORES[score](least, masks))


def test_maps_without_score_are_nan():
    maps, masks = torch.rand(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    assert relevance_rank(maps, masks).isnan() and average_precision(maps, masks).isnan()
    assert relevance_mass(-maps, ~masks).isnan()


@pytest.mark.parametrize("score", SCORES)
def test_maps_and_masks_must_match(score):
    masks = torch.rand(2, 4, 4) > 0.5
    with pytest.raises(ValueError, match="uint8 and must be bool"):
        SCORES[score](torch.rand(2, 4, 4), masks.to(torch.uint8))
    with pytest.raises(ValueError, match="maps contain nan"):
        SCORES[score](torch.full((2, 4, 4), torch.nan), masks)
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        SCORES[score](torch.rand(2, 4, 4), torch.ones(2, 4, 5, dtype=torch.bool))


def test_arrays_are_refused():
    with pytest.raises(
        ValueError, match="maps and masks are ndarray and Tensor and must be tensors"
    ):
        SCORES["auc"](torch.rand(2, 4, 4).numpy(), torch.ones(2, 4, 4, dtype=torch.bool))


def test_centre_prior_of_a_wide_image_is_as_wide():
    wide = centred_gaussian((4, 8))
    assert wide.shape == (4, 8) and torch.equal(wide, centred_gaussian((8, 4)).T)
    assert torch.equal(wide[:, 0], wide[:, 7]) and torch.equal(wide[0], wide[3])
    torch.testing.assert_close(
        wide[2] / wide[2].max(), centred_gaussian(8)[4] / centred_gaussian(8)[4].max()
    )
    assert torch.equal(centred_gaussian((6, 6)), centred_gaussian(6))


def test_centre_prior_is_symmetric():
    prior = centred_gaussian(8)
    assert torch.equal(prior, prior.flip(0)) and torch.equal(prior, prior.T)
    assert prior.argmax().item() in (27, 28, 35, 36)


def test_flat_map_does_not_win_the_pointing_game():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[:, 0, 0] = True
    maps = torch.zeros(3, 4, 4)
    maps[0, 0, 0] = maps[1, 2, 2] = 1.0  # a hit, a miss, a flat map
    assert pointing_game(maps, masks).tolist() == [True, False, False]
    assert chance_of_pointing(masks) == pytest.approx(1 / 16)
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:2, :2] = True
    assert chance_of_pointing(masks, within=region) == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        pointing_game(maps[0], masks)


def test_pixel_auc_is_the_roc_area_of_every_image():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 20, (4, 6, 5), generator=generator) / 20  # with ties
    masks = torch.rand(4, 6, 5, generator=generator) < 0.3
    masks[3] = False
    region = torch.ones(6, 5, dtype=torch.bool)
    region[0] = False
    areas, inside = pixel_auc(maps, masks), pixel_auc(maps, masks, within=region)
    for k in range(3):
        assert areas[k] == pytest.approx(roc_auc_score(masks[k].flatten(), maps[k].flatten()))
        assert inside[k] == pytest.approx(
            roc_auc_score(masks[k, 1:].flatten(), maps[k, 1:].flatten())
        )
    assert areas[3].isnan()
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        pixel_auc(maps[0], masks[0])
