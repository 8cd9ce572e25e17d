"""The built-in pair and public ones in Slicer's module Sample Data."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import ClassVar

import pytest
import slicer

from LightRegistrationLib.scene.nodes.segmentations import segment_names


class SampleDataLogic:
    """Stands in for that of Slicer, which slicer-core has not; takes the lengths of the lists, as that does."""

    sources: ClassVar[list[dict]] = []

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFiles=None,
        loadFileProperties={},  # noqa: B006 - as in Slicer
        checksums=None,
    ):
        assert len(uris) == len(fileNames) == len(nodeNames) == len(checksums or uris)
        source = {"category": category, "name": sampleName, "load": customDownloader, "thumbnail": thumbnailFileName}
        files = {"files": list(zip(uris, fileNames, checksums or [], strict=True))} if uris else {}
        SampleDataLogic.sources.append(source | files)


@pytest.fixture
def sources(monkeypatch):
    """What the module has registered."""
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.setattr(SampleDataLogic, "sources", [])
    return SampleDataLogic.sources


def test_public_pairs_are_two_files_each_that_are_checked_by_their_hashes(slicer_host, sources):
    from LightRegistrationLib.panel.inputs.sample_data import SAMPLE_PAIRS, register_sample_data

    register_sample_data("")
    pairs = {source["name"]: source["files"] for source in sources if "files" in source}
    assert list(pairs) == list(SAMPLE_PAIRS)
    hashes = set()
    for files in pairs.values():
        assert len(files) == 2
        for address, file, checksum in files:
            algorithm, digest = checksum.split(":")
            assert (algorithm, len(digest), int(digest, 16) > 0) == ("SHA256", 64, True)
            assert address.startswith("https://github.com/Slicer/")
            assert address.endswith(f"/SHA256/{digest}")
            assert file.endswith((".nrrd", ".gipl.gz"))
            hashes.add(digest)
    assert len(hashes) == 2 * len(pairs)


def test_slicer_offers_the_pair_after_its_start_and_the_panel_chooses_it(slicer_host, sources, monkeypatch):
    from LightRegistrationLib.panel.inputs import sample_data

    monkeypatch.setattr(sample_data, "SPACING_MM", 6.0)
    panel = slicer_host.create_widget("LightRegistration")
    slicer.app._native.startupCompleted.emit()
    slicer_host.raise_slot_errors()
    source = next(s for s in sources if s["name"] == sample_data.SAMPLE_NAME)
    assert source["category"] == "LightRegistration"
    assert Path(source["thumbnail"]).is_file()

    nodes = source["load"](source)
    slicer_host.enter("LightRegistration")
    slicer_host.raise_slot_errors()
    assert (panel.ui.fixedSelector.currentNode(), panel.ui.movingSelector.currentNode()) == tuple(nodes[:2])
    assert panel.ui.registerButton.enabled
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == nodes[0].GetID()
    fixed_structures, moving_structures = (set(segment_names(node)) for node in nodes[2:])
    assert len(fixed_structures & moving_structures) > 3
