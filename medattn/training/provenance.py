"""Where a run was made: the device, the versions, and the commit of the code."""

import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

CHANGED = "+changes"  # after a commit: the code differed from the commit
PACKAGE = Path(__file__).resolve().parents[1]


def provenance(device: torch.device) -> dict[str, Any]:
    """Return the device, its threads, the versions of torch and Python, and the commit."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": code(),
    }


@cache
def code() -> str | None:
    """Return the commit of this package's code, with "+changes" if the code differs from it.

    The answer is that of the first call, because a process keeps the code that it has loaded. None
    if the package is in no repository, or in another project's.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        try:
            done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
        except OSError:  # git is not installed
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    tracked = git("ls-files", "--", f"{PACKAGE.name}/__init__.py")
    commit = git("rev-parse", "--short=12", "HEAD") if tracked else ""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", PACKAGE.name)
    return commit + (CHANGED if changed else "") if commit else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "")
