"""Help texts of the `evaluate` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

EVALUATE = """\
Register many pairs and measure how well their structures and landmarks match: as loaded, after the affine stage, and
after the model. Finished pairs are stored: run the command again to continue after a stop or a change of the list. A
pair is evaluated again only if one of its files, the model or an option has changed."""
EVALUATE_END = f"""\
the list of pairs:
  A CSV file with the columns fixed, moving, and optionally fixed_labels, moving_labels, landmarks, id, group; paths are
  relative to it. Volumes and label maps: .nii, .nii.gz, .nrrd, .mha, .mhd. landmarks: a CSV file with the columns
  fixed_x, fixed_y, fixed_z, moving_x, moving_y, moving_z, world RAS mm. group: pairs of a group are averaged together.
  Or a JSON file with a list `pairs` of the same keys (`anatomy` for group).

what is written to DIR:
  results.csv     a line for each pair and method: dice, jaccard, hd95_mm (means over the structures), tre_mm (mean over
                  the landmarks), folding_percent, std_log_jacobian, seconds, grid_seconds (of the network), structures,
                  below_affine (1: worse than the affine stage on this pair), warnings (those about the files in the
                  first line of their pair), error
  summary.json    mean and standard deviation over the pairs, dice30 (30 % quantile), the worst pair, pairs below affine
  pairs/*.json    each pair, with the Dice of each structure
  pictures/*.png  with --pictures: middle slices fixed, moving after affine and model, differences, outlines

examples:
  light-registration evaluate pairs.csv --output evaluation --pictures
  light-registration evaluate manifest.json --groups brain_t1 --model brain-mri --cascades 1 2 3 --output evaluation

{EXIT_STATUS}
  Exit status 2 also if a pair could not be evaluated; the others are measured and written."""
REFINE = "optimize the deformation for each pair, as `register --refine` does; several presets are measured one by one"
CASCADES = "numbers of cascades to measure (default: as its card says)"
GROUPS = "evaluate the pairs of these groups only"
MINIMUM = "leave out structures with fewer voxels in one of the two segmentations (default: 100)"
