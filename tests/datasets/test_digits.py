"""The handwritten digits."""

import torch

from medattn.datasets import load_dataset


def test_digits_have_fixed_disjoint_splits():
    data = load_dataset("digits", 8)
    assert [len(split) for split in (data.train, data.val, data.test)] == [1197, 200, 400]
    assert torch.equal(data.train.images, load_dataset("digits", 8).train.images)
    assert data.train.images.max() == 255
    images = torch.cat([data.train.images, data.val.images, data.test.images]).flatten(1)
    assert len(images.unique(dim=0)) == 1797
