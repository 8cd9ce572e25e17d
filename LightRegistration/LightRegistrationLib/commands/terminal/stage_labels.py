"""The stages of a registration in the words of the terminal."""

from __future__ import annotations

from ...core.result.progress import ProgressUpdate, Stage

STAGE_LABELS = {
    Stage.PHANTOM: "making the built-in pair",
    Stage.READING: "reading the files",
    Stage.STARTING: "starting",
    Stage.LOAD_MODEL: "loading the model",
    Stage.SHRINK: "averaging blocks of voxels",
    Stage.INITIAL_ALIGNMENT: "initial alignment",
    Stage.RESAMPLE: "resampling",
    Stage.NETWORK: "network",
    Stage.MULTIMODAL: "matching multimodal volumes",
    Stage.REFINEMENT: "refinement",
    Stage.FIELD: "composing the deformation",
    Stage.WARPING: "warping",
    Stage.COMPARING: "comparing the segmentations",
    Stage.CONSISTENCY: "registering in the opposite direction",
    Stage.INVERTING: "inverting the deformation",
    Stage.WRITING: "writing the files",
    Stage.PICTURES: "drawing the pictures",
    Stage.DONE: "done",
}


def format_progress(update: ProgressUpdate) -> str:
    """Return the label of the stage, with the step of an iterative one."""
    label = STAGE_LABELS[update.stage]
    return f"{label}, step {update.step} of {update.steps}" if update.steps else label
