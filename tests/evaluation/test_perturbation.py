"""Deletion and insertion, on a network whose answer is known."""

import pytest
import torch
from bright import Bright

from medattn.evaluation import deletion_insertion


def test_deletion_and_insertion_tell_good_maps():
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
    assert (deletion.mean(1) < worse_deletion.mean(1)).all() and (
        insertion.mean(1) > worse_insertion.mean(1)
    ).all()
    with pytest.raises(ValueError, match="must be"):
        deletion_insertion(network, images, right[:1])
