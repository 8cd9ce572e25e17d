from __future__ import annotations

import pytest
import torch

from LightRegistrationLib.training import sources

from .toy import ToySourceConfig


@pytest.fixture(autouse=True)
def _toy_source(monkeypatch):
    """`[[source]] kind = "toy"` may stand in a configuration."""
    monkeypatch.setitem(sources.SOURCES, "toy", ToySourceConfig)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
