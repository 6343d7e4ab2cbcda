"""Counting: every printed Params and GFLOPs cell, the convention by hand, and any network."""

import pytest
import torch
from torch import nn

from medattn.attention import ATTENTION, PPCR, GlobalAttention, NonLocal, insert_attention
from medattn.evaluation import Cost, cost, count_kernels, count_operations
from medattn.networks import build_network
from medattn.papers.published import published

TABLES = {"ppcr_table1": (7, 224), "ppcr_table2": (5, 28), "ppcr_table6": (100, 32)}  # classes, px
ALSO = "agrees when residual sums and the max-pool are counted too"


def built(backbone, method, n_classes, size) -> nn.Module:
    with torch.device("meta"):  # no memory, no random numbers
        network = build_network(backbone.lower(), n_classes, size=size)
        if method != "none":
            insert_attention(network, method.lower(), size)
    return network


@pytest.fixture(scope="module")
def cells() -> dict[tuple, tuple[float, Cost]]:
    found = {}
    for table, (n_classes, size) in TABLES.items():
        rows = published(table).drop_duplicates(["network", "method"])
        for row in rows.itertuples():
            ours = cost(built(row.network, row.method, n_classes, size), size)
            found[table, row.network, row.method] = row, ours
    return found


def differences(cells, column, digits, count):
    return {
        (*name, column)
        for name, (row, ours) in cells.items()
        if f"{count(ours):.{digits}f}" != f"{getattr(row, column):.{digits}f}"
    }


def listed(column):
    rows = published("ppcr_cost_differences")
    return set(
        rows.loc[rows["column"] == column, ["table", "network", "method", "column"]].itertuples(
            False, None
        )
    )


def test_printed_params_are_ours_or_listed(cells):
    assert len(cells) == 48
    assert differences(
        cells, "params_m", 2, lambda ours: ours.parameters_as_printed / 1e6
    ) == listed("params_m")


def test_printed_gflops_are_ours_or_listed(cells):
    assert differences(cells, "gflops", 3, lambda ours: ours.macs_as_printed / 1e9) == listed(
        "gflops"
    )


def test_reasons_of_differences_hold(cells):
    """Compute what the list says: sums and max-pool; the 100 classes; the rounding; the digit."""
    rows = published("ppcr_cost_differences")
    for row in rows[rows["reason"] == ALSO].itertuples():
        printed, ours = cells[row.table, row.network, row.method]
        more = ours.by_operation["add_"] + ours.by_operation.get("max_pool2d_with_indices", 0)
        assert f"{(ours.macs_as_printed + more) / 1e9:.3f}" == f"{printed.gflops:.3f}"
    for backbone, printed in {"ResNet18": "11.31", "ResNet50": "26.24"}.items():
        assert f"{cells['ppcr_table6', backbone, 'SE'][1].parameters / 1e6:.2f}" == printed
    assert (
        f"{round(cells['ppcr_table2', 'ResNet50', 'SPA'][1].parameters / 1e6, 3) + 1e-9:.2f}"
        == "51.18"
    )
    assert int(cells["ppcr_table1", "ResNet50", "SPA"][1].macs_as_printed / 1e6) == 4153
    assert f"{cells['ppcr_table2', 'ResNet50', 'EA'][1].macs_as_printed / 1e9:.3f}" == "1.233"


def test_papers_networks_are_counted_completely(cells):
    assert {name: ours.uncounted for name, (_, ours) in cells.items() if ours.uncounted} == {}


@pytest.mark.parametrize(
    ("size", "extra18", "extra50"),
    [(224, 58_310, 97_069), (28, 14_630, 24_346), (32, 19_040, 31_696)],
)
def test_true_parameters_include_ppcrs_weights(cells, size, extra18, extra50):
    table = next(table for table, (_, px) in TABLES.items() if px == size)
    for backbone, extra in {"ResNet18": extra18, "ResNet50": extra50}.items():
        ppcr, plain = (cells[table, backbone, method][1] for method in ("PPCR", "none"))
        assert ppcr.parameters - plain.parameters == extra  # Eq. (8)
        assert ppcr.parameters_as_printed == plain.parameters == plain.parameters_as_printed


def test_small_network_by_hand():
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    ours = cost(network, (5, 6))
    convolution, linear, map_elements = 4 * 2 * 9 * 30, 4 * 3, 4 * 30
    assert ours.macs == convolution + linear
    assert ours.macs_as_printed == ours.macs + 2 * map_elements + map_elements  # batch norm, pool
    assert (
        ours.elementwise == 2 * map_elements + map_elements + map_elements
    )  # batch norm, ReLU, mean
    assert ours.parameters == ours.parameters_as_printed == 4 * 2 * 9 + 8 + 15
    assert ours.uncounted == {}


def test_only_the_full_count_has_matrix_products():
    ours = cost(nn.Sequential(nn.Conv2d(3, 32, 1), NonLocal(32)), 8)
    products = 64 * 2 * 64 + 32 * 64 * 64  # query x key, value x attention
    assert ours.by_operation["bmm"] == products
    assert ours.macs_as_printed == ours.macs - products  # there is no batch norm and no pool
    assert ours.parameters - ours.parameters_as_printed == 1  # gamma


def test_global_map_is_counted_with_its_pixel_cnn():
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    image_cnn = build_network("timm:test_resnet", 2, size=16)
    alone, n_pixels, k = cost(image_cnn, 16).macs, 16 * 16, 4
    live = cost(GlobalAttention(image_cnn, images, k), 16)
    # the shifted products see the whole image nine times; a convolution's padding counts as well
    assert live.macs - alone == 9 * 6 * 3 * k * n_pixels + k * n_pixels
    assert live.uncounted == {}


def test_operations_without_rule_are_named():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(dim=1).values

    assert cost(nn.Sequential(nn.Conv2d(3, 4, 1), Sorted()), 4).uncounted == {"sort": 1}


def test_counting_does_not_change_the_network():
    network = build_network("timm:test_resnet", 2, size=28).train()
    insert_attention(network, "ca", 28)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cost(network, 28)
    assert network.training and all(
        torch.equal(value, before[name]) for name, value in network.state_dict().items()
    )
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", ATTENTION)
def test_every_method_is_counted_in_half_precision(name):
    network = build_network("timm:test_resnet", 2, size=28)
    insert_attention(network, name, 28)
    assert cost(network.bfloat16(), 28).macs == cost(network.float(), 28).macs


def test_operations_are_work_and_not_views():
    x = torch.randn(3, 4)
    # a copy, an addition, a product
    assert count_operations(lambda: (x.T.reshape(-1) + 1).mul_(2)) == 3


@pytest.mark.parametrize(("channels", "side"), [(8, 4), (32, 7)])  # one site stands for all
def test_compiled_ppcr_is_one_kernel_each_way(channels, side):
    assert count_kernels(PPCR(channels, side), channels, side, side) == 2
