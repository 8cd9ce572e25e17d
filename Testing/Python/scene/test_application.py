from __future__ import annotations

import subprocess
import sys

from ..processes import PATIENCE_S


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_importing_the_scene_layer_has_no_side_effects() -> None:
    code = (
        "import os, sys\n"
        "environment = dict(os.environ)\n"
        "from LightRegistrationLib.scene.display import result_display\n"
        "from LightRegistrationLib.scene.files import saving, segmentation_loading, transform_loading, volume_loading\n"
        "from LightRegistrationLib.scene.headless import application, pictures\n"
        "from LightRegistrationLib.scene.nodes import report_table, results\n"
        "import slicer\n"
        "assert dict(os.environ) == environment\n"
        "assert not hasattr(slicer, 'app') and not hasattr(slicer, 'mrmlScene')\n"
        "assert 'torch' not in sys.modules and 'qt' not in sys.modules\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_a_headless_application_is_refused_inside_slicer() -> None:
    code = (
        "import slicer\n"
        "slicer.app = object()\n"
        "from LightRegistrationLib.scene.headless.application import headless_application\n"
        "headless_application()\n"
    )
    done = run(code)
    assert "RuntimeError: Slicer is running in this process" in done.stderr


def test_the_application_starts_and_draws_without_a_display_and_without_messages() -> None:
    code = (
        "from LightRegistrationLib.scene.headless.application import headless_application\n"
        "from LightRegistrationLib.scene.headless.slice_views import SliceView\n"
        "application = headless_application()\n"
        "assert headless_application() is application\n"
        "with SliceView(application, 'Axial', (50, 40)) as view:\n"
        "    print(view.render().shape)\n"
        "application.scene.Clear(0)\n"
        "with SliceView(application, 'Axial', (50, 40)) as view:\n"
        "    print(view.render().shape)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(40, 50, 3)"] * 2
    assert done.stderr == ""
