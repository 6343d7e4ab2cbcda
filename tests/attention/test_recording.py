"""Recording from outside: the values, the hooks, and what is refused."""

import gc

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from medattn.attention import (
    ATTENTION_MAPS,
    insert_attention,
    on_image,
    record,
    record_images,
)
from medattn.attention.places import stages
from medattn.networks import build_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build_network("resnet18", 3, size=28).eval()
    for site in insert_attention(network, "ppcr", 28):
        nn.init.normal_(site.module.integrate.weight)
    return network


@pytest.fixture(scope="module")
def images():
    return torch.randint(
        0, 256, (5, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def n_hooks(network):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )


def test_recorded_tensors_satisfy_the_equations(network, images):
    seen = record_images(network, images)
    assert len(seen) == 8
    for recorded in seen.values():
        t = recorded.before
        t_hat = (t - t.mean(1, keepdim=True)) / (t.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        assert_close(recorded.after, t_hat, rtol=1e-4, atol=1e-5)
        assert_close(
            recorded.attention,
            torch.sigmoid((recorded.weights * t_hat).sum(1)),
            rtol=1e-4,
            atol=1e-5,
        )
        assert recorded.map(28).shape == (5, 28, 28)


def test_energy_is_of_the_input_features(network, images):
    x = torch.randn(2, 3, 28, 28)
    seen_by_hand = []
    hook = network.layer2[1].bn2.attention.register_forward_pre_hook(
        lambda _, inputs: seen_by_hand.append(inputs[0])
    )
    with record(network) as seen:
        network(x)
    hook.remove()
    assert_close(seen["layer2.1.bn2"].energy, seen_by_hand[0].detach().abs().mean(1))
    assert_close(on_image(seen["layer2.1.bn2"].attention, 28), seen["layer2.1.bn2"].map(28))


def test_batches_are_joined_in_order(network, images):
    whole, parts = record_images(network, images), record_images(network, images, batch_size=2)
    for name in whole:
        assert_close(whole[name].attention, parts[name].attention, rtol=1e-4, atol=1e-5)
    x = torch.randn(2, 3, 28, 28)
    expected = network(x)
    with record(network):
        assert torch.equal(network(x), expected)


def test_hooks_are_removed_and_modes_restored(network, images):
    network.train()
    record_images(network, images[:2])
    assert network.training
    network.eval()
    with pytest.raises(RuntimeError, match="on purpose"), record(network):
        raise RuntimeError("on purpose")
    assert n_hooks(network) == 0


def test_empty_recording_is_an_error(network, images):
    with (
        pytest.raises(ValueError, match="nothing was recorded: run the network inside the block"),
        record(network),
    ):
        pass


def test_recording_keeps_nothing_alive(network, images):
    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    record_images(network, images)
    before = tensors()
    for _ in range(3):
        record_images(network, images)
    assert tensors() <= before


def test_contexts_can_be_left_out(network, images):
    seen = record_images(network, images, contexts=False)
    assert all(
        recorded.before.numel() == 0 < recorded.attention.numel() for recorded in seen.values()
    )


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (None, r"ResNet with attention none has no attention map to record: insert one of ca, sa"),
        ("se", r"ResNet with attention \[.se.\] has no attention map"),
    ],
)
def test_network_without_a_map_is_refused(attention, message):
    network = build_network("timm:test_resnet", 2, size=28)
    if attention:
        insert_attention(network, attention, 28)
    with pytest.raises(ValueError, match=message), record(network):
        pass


@pytest.mark.parametrize("attention", ATTENTION_MAPS)
def test_every_method_with_a_map_is_recorded(attention, images):
    network = build_network("timm:test_resnet", 2, size=28)
    sites = insert_attention(network, attention, 28)
    seen = record_images(network, images, batch_size=2)
    assert [(s.name, s.method, *s.attention.shape) for s in seen.values()] == [
        (site.name, attention, 5, *site.size) for site in sites
    ]
    assert all(recorded.energy.shape == recorded.attention.shape for recorded in seen.values())
    assert n_hooks(network) == 0


def test_stage_ends_where_block_names_differ():
    def of(name, prefix="", **options):
        network = build_network(name, 2, size=64)
        sites = insert_attention(network, "ppcr", 64, **options)
        network = nn.Module() if prefix else network
        network.image_cnn = build_network(name, 2, size=64) if prefix else None
        return set(stages(network, [prefix + site.name for site in sites]).values())

    layers = {f"layer{k}" for k in (1, 2, 3, 4)}
    assert of("timm:test_resnet") == of("timm:test_resnet", "image_cnn.") == layers
    assert of("timm:test_resnet", where="layer4.0.bn2") == {"layer4"}
    assert of("regnet_y_400mf") == {f"trunk_output.block{k}" for k in (1, 2, 3, 4)}
    blocks = ["features.denseblock1", "features.denseblock2"]
    assert of("densenet121", where=blocks) == set(blocks)


def test_recording_moves_a_batch_norm_once():
    """CA's batch norm sees what it would see without anybody watching."""
    networks = [build_network("timm:test_resnet", 2, size=28).train() for _ in range(2)]
    for network in networks:
        insert_attention(network, "ca", 28)
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(4, 3, 28, 28)
    networks[0](x)
    with record(networks[1]):
        networks[1](x)
    left, right = (network.state_dict() for network in networks)
    assert all(torch.equal(value, right[name]) for name, value in left.items())
