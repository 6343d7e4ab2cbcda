"""Which of IDRiD's segmented images are grading images, too: the same photograph under another name.

No list of them is published, so they are compared here. Of the 81, 60 have a grading image that differs by 0.6 of 255 a
pixel or less, as two copies of one photograph do; the nearest of the other 21 is 3.8 away or more. 15 of the 27
segmented test images are training images of the grading part.
"""

import torch

from medattn.datasets.idrid import graded
from medattn.datasets.idrid_segmentation import idrid_segmentation

SIZE = 64  # px
SAME = 2.0  # of 255: the mean difference of a pixel, below which two images are one photograph


def idrid_twins() -> tuple[tuple[str, str] | None, ...]:
    """Give the grading image that each segmented image shows, as ("train" or "test", "IDRiD_001"), or None.

    The order is that of `idrid_segmentation`; of two grading images the one of the training set counts. Raises
    FileNotFoundError where one part of IDRiD is missing, and ValueError with what is wrong with its files.
    """
    names, images = graded(SIZE)
    images = images.float()

    def twin(image: torch.Tensor) -> tuple[str, str] | None:
        either = (image, image.flip(-1))  # the two parts are aligned in different ways
        apart = torch.stack([(images - one).abs().mean((1, 2, 3)) for one in either]).amin(0)
        same = (apart < SAME).nonzero()
        return names[int(same[0])] if len(same) else None

    return tuple(twin(image) for image in idrid_segmentation(SIZE).images.float())
