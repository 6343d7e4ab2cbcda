import logging

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.attention import attention_sites, compile_attention, compiling, insert_attention
from medattn.networks import build_network
from medattn.recording import record


def network_with_ppcr():
    torch.manual_seed(0)
    network = build_network("timm:test_resnet", 2, size=16)
    insert_attention(network, "ppcr", 16, where="layer1.0.bn2")  # one place: compiling takes seconds
    for site in attention_sites(network):
        torch.nn.init.normal_(site.module.integrate.weight)
    return network.double()


def gradients(network, images):
    network.zero_grad()
    F.cross_entropy(network(images), torch.arange(len(images)) % 2).backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.fixture
def compiler_says(caplog):
    logger = logging.getLogger("torch._dynamo")  # it passes nothing on to the root logger
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_compiled_network_computes_the_same(compiler_says):
    eager, compiled = network_with_ppcr(), network_with_ppcr()
    assert compile_attention(compiled)
    assert list(compiled.state_dict()) == list(eager.state_dict())
    for n in (4, 3, 2):  # a last batch is smaller
        images = torch.randn(n, 3, 16, 16, dtype=torch.double)
        assert_close(gradients(compiled.train(), images), gradients(eager.train(), images))
        with torch.no_grad():
            assert_close(compiled.eval()(images), eager.eval()(images))
            with record(compiled) as seen:  # its hooks are seen, compiled or not
                compiled(images)
            assert len(seen["layer1.0.bn2"].attention) == n
    assert all(site.module._compiled_call_impl is not None for site in attention_sites(compiled))
    assert "recompile_limit" not in compiler_says.text


def test_the_limit_of_recompilations_would_be_told(compiler_says, monkeypatch):
    torch.compiler.reset()
    monkeypatch.setattr(compiling, "RECOMPILE_LIMIT", 1)
    network = network_with_ppcr()
    compile_attention(network)
    for gradients_wanted in (True, False):
        with torch.set_grad_enabled(gradients_wanted):
            network(torch.randn(4, 3, 16, 16, dtype=torch.double))
    assert "recompile_limit" in compiler_says.text


def test_without_a_compiler_nothing_changes(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    network = network_with_ppcr()
    assert not compile_attention(network)
    assert all(site.module._compiled_call_impl is None for site in attention_sites(network))
