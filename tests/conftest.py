"""What holds for every test: it needs no network, and leaves the user's training runs alone."""

import ipaddress
import os
import socket

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is slow: no fault of what is tested
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


# The files with the longest tests, the longest first. They begin first, so that no worker is left
# alone with one of them at the end, and `make check` leaves them out.
LONGEST = [
    *(
        "jupyterlab",
        "playground",
        "fitting",
        "sweeping",
        "runner",
        "explorers",
        "counting",
        "gpu",
        "diagrams",
    ),
    *("project", "site", "insert", "build", "compiling", "cli", "epoch", "watching", "statistics"),
    *("classical", "lesion_scores", "speed_loops", "speed_maps", "speed_ppcr", "speed_table"),
    *("ppcr_figures", "ppcr", "global_map", "evaluation_names", "architecture", "vgg_att3"),
    *("recording", "folder", "timing", "floor"),
]


def pytest_collection_modifyitems(items):
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))
    for item in items:
        if item.path.name in order:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def own_run_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDATTN_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network():
    connect = socket.socket.connect

    def connect_here(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = "127.0.0.1" if address[0] == "localhost" else address[0]
            if not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test asked for {address[0]}; no test may need the network")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        for name in [
            name for name in os.environ if name.lower().endswith("_proxy")
        ]:  # one may be on this machine
            patch.delenv(name)
        patch.setattr(socket.socket, "connect", connect_here)
        yield
