"""Sets of the catalog that are folders of images: Fundus-iSee has five classes and no others."""

import numpy as np
import pytest
import torch
from layouts import save

from medattn.datasets import DATASETS, load_dataset

CLASSES = tuple(DATASETS["fundus_isee"].classes)


@pytest.fixture
def tree(folder):
    """Ten photographs of each class, in a folder for each; those of class k are 40 k + i in red."""
    for k, name in enumerate(CLASSES):
        for i in range(10):
            save(
                np.full((12, 12, 3), (40 * k + i, 60, 20), np.uint8),
                folder / "fundus_isee" / name / f"{i}.png",
            )
    return folder / "fundus_isee"


def as_table(root) -> list[str]:
    """The same images in one folder, and the lines of their table."""
    lines = []
    for name in CLASSES:
        for file in sorted((root / name).iterdir()):
            lines.append(f"{file.rename(root / f'{name[:3]}{file.name}').name},{name}")
        (root / name).rmdir()
    return lines


def write(root, lines, header="image,label"):
    (root / "labels.csv").write_text("\n".join([header, *lines]))


@pytest.mark.parametrize("form", ["folders", "table"])
def test_both_forms_are_divided_by_seed(tree, form):
    if form == "table":
        write(tree, as_table(tree))
    data, same, other = (load_dataset("fundus_isee", 8, seed=seed) for seed in (0, 0, 1))
    assert (data.name, data.size, data.channels, data.classes) == ("fundus_isee", 8, 3, CLASSES)
    assert [len(split) for split in (data.train, data.val, data.test)] == [32, 8, 10]
    assert data.test.labels.bincount().tolist() == [2] * 5
    for split in (data.train, data.val, data.test):
        assert torch.equal(split.images[:, 0, 0, 0] // 40, split.labels)
    assert torch.equal(data.test.images, same.test.images) and not torch.equal(
        data.test.images, other.test.images
    )


def test_a_second_load_decodes_nothing(tree, monkeypatch):
    load_dataset("fundus_isee", 8)
    monkeypatch.setattr("medattn.datasets.files.read_picture", None)
    load_dataset("fundus_isee", 8, seed=3)


def test_a_table_may_keep_a_persons_images_together(tree):
    lines = [f"{line},{('train', 'val', 'test')[i % 3]}" for i, line in enumerate(as_table(tree))]
    write(tree, lines, "image,label,split")
    data = load_dataset("fundus_isee", 8)
    assert [len(split) for split in (data.train, data.val, data.test)] == [17, 17, 16]


def test_class_problems_are_reported_at_once(tree):
    (tree / "myopia").rename(tree / "cataract")
    (tree / "AMD" / "0.png").write_bytes(b"no image")
    save(np.zeros((9, 9), np.uint8), tree / "stray.png")
    with pytest.raises(ValueError) as caught:
        load_dataset("fundus_isee", 8)
    for part in (
        f"10 images of a class that is none of {', '.join(CLASSES)}: cataract/0.png",
        "1 classes without images: myopia",
        "1 images that cannot be read: AMD/0.png (it is no image)",
        "1 images without a label, outside the class folders: stray.png",
        "The classes are AMD, diabetic",
    ):
        assert part in str(caught.value)


def test_class_table_problems_are_reported(tree):
    lines = as_table(tree)
    lines[0] = "AMD0.png,amd"
    lines[11] = "gone.png,normal"
    write(tree, [*lines, "nor9.png,myopia"])
    (tree / "gla3.png").write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        load_dataset("fundus_isee", 8)
    for part in (
        f"1 images of a class that is none of {', '.join(CLASSES)}: AMD0.png 'amd'",
        "1 labelled images that are absent: gone.png",
        "1 images without a label: dia1.png",
        "1 images with two labels: nor9.png",
        "1 images that cannot be read: gla3.png (it is no image)",
    ):
        assert part in str(caught.value)


def test_a_table_without_a_column_is_named(tree):
    write(tree, as_table(tree), "image,diagnosis")
    with pytest.raises(
        ValueError, match=r"labels.csv has no column label; its columns are image, diagnosis"
    ):
        load_dataset("fundus_isee", 8)


def test_missing_set_says_that_it_is_private(folder):
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("fundus_isee", 8)
    for part in (
        "fundus_isee",
        "private",
        folder / "fundus_isee",
        "CLASS/image.png",
        "labels.csv",
        "phantoms",
    ):
        assert str(part) in str(caught.value)
