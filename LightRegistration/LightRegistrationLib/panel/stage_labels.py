"""The stages of a registration in the words that the user reads."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..core.result.progress import ProgressUpdate, Stage


def stage_labels() -> dict[Stage, str]:
    """Return the translated label of every stage."""
    return {
        Stage.PHANTOM: _("Making the built-in pair"),
        Stage.READING: _("Reading the files"),
        Stage.STARTING: _("Starting"),
        Stage.LOAD_MODEL: _("Loading the model"),
        Stage.SHRINK: _("Reading the volumes"),
        Stage.INITIAL_ALIGNMENT: _("Initial alignment"),
        Stage.RESAMPLE: _("Resampling"),
        Stage.NETWORK: _("Finding the deformation"),
        Stage.MULTIMODAL: _("Matching multimodal volumes"),
        Stage.REFINEMENT: _("Refining"),
        Stage.FIELD: _("Composing the deformation"),
        Stage.WARPING: _("Warping"),
        Stage.COMPARING: _("Comparing the segmentations"),
        Stage.WRITING: _("Writing the files"),
        Stage.PICTURES: _("Drawing the pictures"),
        Stage.DONE: _("Showing the result"),
    }


def format_progress(update: ProgressUpdate) -> str:
    """Return the line that the panel shows while a registration is in a stage."""
    label = stage_labels()[update.stage]
    if update.steps:
        label = _("{stage}, step {step} of {steps}").format(stage=label, step=update.step, steps=update.steps)
    return label + " …"
