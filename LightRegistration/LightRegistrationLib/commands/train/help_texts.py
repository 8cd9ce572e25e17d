"""Help texts of the `train` and `distill` commands."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

TRAIN = """\
Train a network, or resume a run that was stopped. A student is the network that registers; it is trained alone
(`train student`) or by a teacher (`train teacher`, then `distill`)."""
TRAIN_END = """\
your own scans:
  A folder of images, or a CSV file with the columns image, labels, subject, is enough: copy a configuration, give it a
  name, and name the files in its [[source]]. The configurations of the bundled models are in
  LightRegistrationLib/training/configs.

try it in ten minutes on two CPU cores:
  light-registration train toy-data runs/heads
  light-registration train teacher toy-teacher --data runs/heads --output runs/teacher
  light-registration distill toy-aldk --teacher runs/teacher --data runs/heads --output runs/distilled
  light-registration models add runs/distilled/models/toy-aldk
  light-registration evaluate runs/heads/pairs.csv --model toy-aldk --minimum-voxels 20 --output runs/evaluation"""
TEACHER = "Train a teacher, the large network that students learn from; it is used in training only."
STUDENT = "Train a student without a teacher, by image similarity and what the source knows of each pair."
DISTILL = """\
Train a student by the deformations of a teacher: adversarial learning with distilling knowledge (ALDK), plain
distillation, or neither, as set by [knowledge] kind in the configuration. The teacher is a trained network, the
refinement of the noise-free images, or fields in files, as set by [teacher] kind."""
EXPORT = """\
Write a model folder (weights and card) of a student, also of an unfinished run. A run that finishes does this
automatically."""
RUN_END = f"""\
what is in RUN:
  state.pt          everything that the run needs to resume; written every few minutes and when it is stopped
  models/NAME       the model of a student, when the run is finished: for `models add RUN/models/NAME`
  log.jsonl         losses and learning rate, a line for every 50 steps
  validation.jsonl  a few fixed pairs, registered at intervals: correlation, Dice, folding, each before and after
  pictures/*.png    the same pairs as pictures: slices, differences, outlines, deformation grid
  tensorboard/      the same for TensorBoard: tensorboard --logdir RUN/tensorboard
  Prepared data are stored in a folder `cache` beside RUN.

Ctrl-C (or SIGTERM) saves and stops; the same command resumes, with the same losses as an unbroken run.

several GPUs or machines: --accelerator cuda --devices 4; with --nodes the same command runs on each machine, with
MASTER_ADDR, MASTER_PORT and NODE_RANK in its environment (or under torchrun or SLURM).

{EXIT_STATUS.splitlines()[0]}
  0    done
  2    wrong usage, input or configuration, a loss that is not finite, a full disk: one line on standard error says what
       is wrong and what to do; the last state is intact
  130  stopped by Ctrl-C; 129 and 143: by a closed terminal, or by another program. The state is saved."""
CONFIG = "a TOML file, or the name of a configuration of this package, such as brain-mri"
DATA = "folder of the training data; the configuration names files in it"
OUTPUT = "folder of the run; a run with a state of this configuration is resumed"
TEACHER_RUN = """\
by the [teacher] kind of the configuration: folder of the teacher's run (network); of a student's run whose deformation
is refined, or nothing (refinement); of the fields 00000.npy, ... for the pairs of --store (stored)"""
STORE = "folder to store the teacher's deformations, each computed once, as set by [store] in the configuration"
ACCELERATOR = "device type (default: cpu); auto: a GPU if there is one"
DEVICES = "processes on each machine, each with its own device (default: 1)"
NODES = "number of machines (default: 1)"
PRECISION = "number format of the trained network (default: that of the configuration; 32 where bf16 is not fast)"
TOY_DATA = """\
Make phantom heads of different shape, and their structures, as NIfTI files: enough to try the whole training chain.
Models that are trained on them are of no use for real scans."""
TOY_DATA_END = """\
what is written to DIR:
  scans/            head_00.nii.gz, head_00_labels.nii.gz, ...
  train.csv         the heads to train with: image, labels, subject
  validation.csv    the heads to validate with, the same columns
  pairs.csv         pairs of the heads to validate with, for `light-registration evaluate`"""
