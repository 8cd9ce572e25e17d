"""What `--help` says of training."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

TRAIN = """\
Train a network, or go on with a run that was stopped. A student is what registers; it is trained by itself
(`train student`) or by a teacher (`train teacher`, then `distill`)."""
TRAIN_END = """\
your own scans:
  A folder of images, or a CSV file with the columns image, labels, subject, is enough: copy a configuration, give it a
  name, and let its [[source]] say where they are. LightRegistrationLib/training/configs has all that were used here.

try it in ten minutes on two CPU cores:
  light-registration train toy-data runs/heads
  light-registration train teacher toy-teacher --data runs/heads --output runs/teacher
  light-registration distill toy-aldk --teacher runs/teacher --data runs/heads --output runs/distilled
  light-registration models add runs/distilled/models/toy-aldk
  light-registration evaluate runs/heads/pairs.csv --model toy-aldk --minimum-voxels 20 --output runs/evaluation"""
TEACHER = "Train a teacher, the large network that students learn from; it is used in training only."
STUDENT = "Train a student by what is known of the pairs, without a teacher."
DISTILL = """\
Train a student by the deformations of a teacher: adversarial learning with distilling knowledge (ALDK), plain
distillation, or neither, as [knowledge] kind in the configuration says."""
EXPORT = """\
Make a model folder (weights and card) of a student as it stands, also of a run that is not finished. A run that ends
does this by itself."""
RUN_END = f"""\
what is in RUN:
  state.pt          everything that the run needs to go on; written every few minutes and when it is stopped
  models/NAME       the model of a student, when the run is finished: for `models add RUN/models/NAME`
  log.jsonl         losses and learning rate, a line for every 50 steps
  validation.jsonl  a few fixed pairs, registered now and then: correlation, Dice, folding, each before and after
  pictures/*.png    the same pairs to look at: slices, differences, outlines, deformation grid
  tensorboard/      all of it for TensorBoard: tensorboard --logdir RUN/tensorboard
  Prepared data are kept in a folder `cache` beside RUN.

Ctrl-C (or SIGTERM) saves and stops; the same command goes on from there, with the same losses as an unbroken run.

several GPUs or machines: --accelerator cuda --devices 4; with --nodes the same command runs on each machine, with
MASTER_ADDR, MASTER_PORT and NODE_RANK in its environment (or under torchrun or SLURM).

{EXIT_STATUS.splitlines()[0]}
  0    done
  2    wrong usage, input or configuration, a loss that is not finite, a full disk: one line on standard error says what
       and what to do; the last state is intact
  130  stopped by Ctrl-C; 129 and 143: by a closed terminal, or by another program. The state is saved."""
CONFIG = "a TOML file, or the name of a configuration of this package, such as brain-mri"
DATA = "folder of the training data; the configuration names files in it"
OUTPUT = "folder of the run; one that holds a state of this configuration is gone on with"
TEACHER_RUN = "folder of the teacher's run (or its state.pt)"
STORE = "keep the teacher's deformations here and compute each of them once, as [store] in the configuration says"
ACCELERATOR = "what to compute on (default: cpu); auto takes a GPU where there is one"
DEVICES = "processes on each machine, each with a device of its own (default: 1)"
NODES = "machines (default: 1)"
PRECISION = "of the network that is trained (default: as the configuration says)"
TOY_DATA = """\
Make phantom heads of different shape, and their structures, as NIfTI files: enough to try the whole training chain.
Nothing that is trained on them is of use for real scans."""
TOY_DATA_END = """\
what is written to DIR:
  scans/            head_00.nii.gz, head_00_labels.nii.gz, ...
  train.csv         the heads to train with: image, labels, subject
  validation.csv    the heads that are kept out, the same way
  pairs.csv         pairs of the latter, for `light-registration evaluate`"""
