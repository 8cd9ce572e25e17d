"""The notes below the comparison's tables."""

from __future__ import annotations

from failures import RULE

_FAILED = "\n".join(f"  {line}" if number else f"- {line}" for number, line in enumerate(RULE.splitlines()))
NOTES = f"""\
{_FAILED}
  Failed runs are counted, ours like the peers'; the mean with them and the mean without them are both shown. The plot
  and the differences leave them out.
- Dice, HD95: means over the structures of at least 100 voxels in both volumes, then over the pairs. Dice30: 30 %
  quantile of the pairs' Dice. TRE: mean over the landmarks, then over the pairs. Below affine: the number of pairs on
  which a method has a lower Dice or a higher TRE than our affine stage.
- "Better", "worse" and "no clear difference" are said of the main measure of a set (Dice, or TRE where there are
  landmarks): by whether the 95 % interval of the paired differences (Student's t) excludes 0. Each scan of a ring is in
  two pairs, which the interval does not know; two to four pairs say little.
- Every deformation, ours too, is measured by its displacements at the voxels of the fixed volume, affine stage
  included: labels are pulled by nearest neighbor, folding is the percent of raw Jacobian determinants ≤ 0 at the
  corners of all cells, SD log J the spread of the logarithm of the others.
- Each peer with an affine stage of its own, or with none, has a second row that starts from our affine stage. A row
  with fewer pairs than the others was not measured on the rest; a set without the row was not measured with it.
- Rows come from more than one session. Accuracy does not depend on the processor; CPU seconds do, and were measured
  beside other work: take them as orders of magnitude. Ratios of CPU time, measured alone on the machine, are in
  [cpu_time.md](cpu_time.md). `CPU : SyN` is the ratio to ANTs SyN, default, where both ran on one processor. Seconds
  are those of the registration alone: without importing, reading, or (ours) loading the models, as in the panel's
  worker. MB is the peak of the whole process until the deformation is there; some 300 MB of it are torch in ours and
  in ConvexAdam, and more of elastix' are the libraries of ITK.
- The peers' settings are the same for all sets (of elastix but the grid for small crops), and nobody gets a mask.
  ConvexAdam and deeds work in voxels of the fixed volume, whatever their size. deeds is the version of 2013: the later
  deedsBCV, with an affine stage of its own, is in no package registry.
  Ours choose a model by the content of the volumes.
- In favor of ours: choices were made while looking at some of these pairs. `abdomen` is synthesized; its label maps
  were kept out of training, but the model learned from images synthesized the same way. The model for the hippocampus
  has seen labels of other crops. The peers have learned nothing.
- On pairs that were not looked at during development, results can be lower: on 65 held-out pairs that are not part of
  this comparison, 5 runs of ours are reported to end below their affine stage, and Greedy level with `best`."""
