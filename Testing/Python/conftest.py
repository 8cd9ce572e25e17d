from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def application() -> Any:
    """The process's headless Slicer application."""
    from LightRegistrationLib.scene.application import headless_application

    return headless_application()


@pytest.fixture
def scene(application: Any) -> Iterator[Any]:
    """The application's scene; empty before and after each test."""
    application.scene.Clear(0)
    yield application.scene
    application.scene.Clear(0)
