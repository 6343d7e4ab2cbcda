"""The papers' own text, where it is at hand: it is not ours to hand on."""

import os
from pathlib import Path

import pytest

from medattn.paths import ROOT

FOLDER = Path(os.environ.get("MEDATTN_PAPERS") or ROOT.parent / "shared" / "papers")
PPCR_TEXT, GLOBAL_TEXT = FOLDER / "ppcr.txt", FOLDER / "global_attention.txt"
with_text = pytest.mark.skipif(
    not (PPCR_TEXT.is_file() and GLOBAL_TEXT.is_file()),
    reason="the papers' text is not at hand (MEDATTN_PAPERS names its folder)",
)
