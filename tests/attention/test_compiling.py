"""Attention modules that are compiled by themselves, and recording while they are."""

import logging

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.attention import attention_sites, compile_attention, insert, insert_attention, record
from medattn.networks import build_network

SITE = "layer1.0.bn2"  # one place: compiling takes seconds


def network_with_ppcr():
    torch.manual_seed(0)
    network = build_network("timm:test_resnet", 2, size=16)
    insert_attention(network, "ppcr", 16, where=SITE)
    for site in attention_sites(network):
        torch.nn.init.normal_(site.module.integrate.weight)
    return network.double()


def gradients(network, images):
    network.zero_grad()
    F.cross_entropy(network(images), torch.arange(len(images)) % 2).backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def eager_passes(network, images):
    """Count the passes, of one in training and one in evaluation, in which a part runs eagerly."""
    [site], compiling = attention_sites(network), []
    hook = site.module.pool.register_forward_hook(
        lambda *_arguments: compiling.append(torch.compiler.is_compiling())
    )
    for training in (True, False):
        network.train(training)(images)
    hook.remove()
    return compiling.count(False)


@pytest.fixture
def compiler_log(caplog):
    logger = logging.getLogger("torch._dynamo")  # it passes nothing on to the root logger
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_compiled_network_computes_the_same(compiler_log):
    eager, compiled = network_with_ppcr(), network_with_ppcr()
    assert compile_attention(compiled)
    assert list(compiled.state_dict()) == list(eager.state_dict())
    for n in (4, 3, 2):  # a last batch is smaller
        images = torch.randn(n, 3, 16, 16, dtype=torch.double)
        assert_close(gradients(compiled.train(), images), gradients(eager.train(), images))
        with torch.no_grad():
            assert_close(compiled.eval()(images), eager.eval()(images))
    assert "recompile_limit" not in compiler_log.text


def test_compiled_attention_is_recorded():
    eager, compiled = network_with_ppcr().eval(), network_with_ppcr().eval()
    compile_attention(compiled)
    images = torch.randn(3, 3, 16, 16, dtype=torch.double)
    compiled(images)
    recorded = []
    for network in (eager, compiled):
        with record(network) as seen:
            network(images)
        recorded.append(seen[SITE])
    for name in ("attention", "before", "after", "weights", "energy"):
        assert_close(getattr(recorded[1], name), getattr(recorded[0], name))


def test_recording_runs_eagerly_and_then_compiled_again():
    network = network_with_ppcr()
    compile_attention(network)
    images = torch.randn(3, 3, 16, 16, dtype=torch.double)
    assert eager_passes(network, images) == 0
    with record(network) as seen:
        assert eager_passes(network, images) == 2
    assert len(seen[SITE].attention) == 6
    assert eager_passes(network, images) == 0
    with pytest.raises(RuntimeError, match="on purpose"), record(network):
        raise RuntimeError("on purpose")
    assert eager_passes(network, images) == 0


def test_network_compiled_as_a_whole_is_recorded():
    network = network_with_ppcr().eval()
    whole = torch.compile(network, backend="eager")
    images = torch.randn(2, 3, 16, 16, dtype=torch.double)
    whole(images)
    with record(network) as seen:
        whole(images)
    assert seen[SITE].attention.shape == (2, 16, 16)


def test_recompile_limit_would_be_logged(compiler_log, monkeypatch):
    torch.compiler.reset()
    monkeypatch.setattr(insert, "RECOMPILE_LIMIT", 1)
    network = network_with_ppcr()
    compile_attention(network)
    for gradients_wanted in (True, False):
        with torch.set_grad_enabled(gradients_wanted):
            network(torch.randn(4, 3, 16, 16, dtype=torch.double))
    assert "recompile_limit" in compiler_log.text


def test_nothing_changes_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(insert.shutil, "which", lambda name: None)
    network = network_with_ppcr()
    assert not compile_attention(network)
    images = torch.randn(2, 3, 16, 16, dtype=torch.double)
    assert eager_passes(network, images) == 2
