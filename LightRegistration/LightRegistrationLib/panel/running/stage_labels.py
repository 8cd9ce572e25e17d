"""The stages of a registration as translated labels, and the line that shows the progress."""

from __future__ import annotations

from ...core.result.progress import ProgressUpdate, Stage
from ..translation import translate


def make_stage_labels() -> dict[Stage, str]:
    """Return the translated label of every stage."""
    return {
        Stage.PHANTOM: translate("LightRegistration", "Making the built-in pair"),
        Stage.READING: translate("LightRegistration", "Reading the files"),
        Stage.STARTING: translate("LightRegistration", "Starting"),
        Stage.LOAD_MODEL: translate("LightRegistration", "Loading the model"),
        Stage.SHRINK: translate("LightRegistration", "Reading the volumes"),
        Stage.INITIAL_ALIGNMENT: translate("LightRegistration", "Initial alignment"),
        Stage.RESAMPLE: translate("LightRegistration", "Resampling"),
        Stage.NETWORK: translate("LightRegistration", "Computing the deformation"),
        Stage.MULTIMODAL: translate("LightRegistration", "Matching multimodal volumes"),
        Stage.REFINEMENT: translate("LightRegistration", "Refining"),
        Stage.FIELD: translate("LightRegistration", "Composing the deformation"),
        Stage.WARPING: translate("LightRegistration", "Warping"),
        Stage.COMPARING: translate("LightRegistration", "Comparing the segmentations"),
        Stage.CONSISTENCY: translate("LightRegistration", "Registering in the opposite direction"),
        Stage.INVERTING: translate("LightRegistration", "Inverting the deformation"),
        Stage.WRITING: translate("LightRegistration", "Writing the files"),
        Stage.PICTURES: translate("LightRegistration", "Drawing the pictures"),
        Stage.DONE: translate("LightRegistration", "Showing the result"),
    }


def format_progress(update: ProgressUpdate) -> str:
    """Return the line that the panel shows while a registration is in a stage."""
    label = make_stage_labels()[update.stage]
    if update.steps:
        line = translate("LightRegistration", "{stage}, step {step} of {steps}")
        label = line.format(stage=label, step=update.step, steps=update.steps)
    return label + " …"
