"""Help texts of the `models` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

MODELS = """\
List the models, show the card of one, check that they work, and add your own.
Without an action the models are listed."""
MODELS_END = f"""\
examples:
  light-registration models
  light-registration models show brain-mri
  light-registration models verify
  light-registration models add my-models/knee-mri

Added models are stored in your own folder (LightRegistration/Models in the system's folder for application data, or the
folder that the environment variable LIGHTREG_MODELS names). The panel in Slicer offers them, too, and `auto` chooses
among all models whose card states the range of images they are for (`covers`).

{EXIT_STATUS}"""
LIST = "Name, kind of image, number of weights, file size, training steps, license and purpose of each model."
SHOW = "Show the card of a model: its data, license, results and limits."
VERIFY = """\
Check the weights against the card's hash, build the network, and register a small built-in pair with it: the
deformation must be finite and must not fold. Exit status 2 if a model fails, with one line that says why."""
ADD = """\
Copy a model folder (card.json and weights.safetensors, as training writes it) into your own folder of models. The
folder's name becomes the model's. Everything is checked before anything is changed."""
REMOVE = "Remove a model that was added; a bundled model that it replaced is used again."
