"""Help texts of the `template` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

TEMPLATE = """\
Build the unbiased mean of a group of scans: their mean image in their mean shape. The scans are aligned to the first
one and averaged in the mean of their sizes; then, again and again, the mean is registered to all scans, and the scans
are averaged anew in the mean of their shapes (after Guimond et al., CVIU 2000): no scan is the reference. The order of
the list changes nothing. Run the command again to continue after a stop, or to add iterations."""

TEMPLATE_END = f"""\
the scans:
  Two or more files or DICOM folders of one contrast, or one CSV file with the column image, and optionally labels and
  id; paths are relative to it. Labels as for `fuse`. All scans are read before anything is registered; one that cannot
  be read or registered ends the command with its line, since a mean without it would be that of another group.

what is written to DIR:
  template.nii.gz     the mean image. Intensities of MRI are scaled in each scan, so that typical tissue is 1000;
                      Hounsfield units stay. Its pose is that of the first scan, its grid isotropic
  affine_mean.nii.gz  the mean after affine alignment alone, for comparison
  template.png        three planes of both: above after affine alignment, below the template
  transforms/NAME.h5  from the template to each scan, as `register` writes them: `apply` brings the scan and its labels
                      to the template
  labels.nii.gz       with labels: for each voxel the label that most scans have there, on the grid of the template;
                      labels.seg.nrrd, volumes.csv and probabilities/ as `fuse` writes them
  template.json       scans with their sizes, settings, sharpness (mean squared gradient against that of
                      affine_mean.nii.gz), and for each iteration the distance to the mean shape before it and by how
                      much it changed the image
  work/               the iterations, from which a run continues; can be removed

examples:
  light-registration template a.nii.gz b.nii.gz c.nii.gz --output three
  light-registration template scans.csv --output group --iterations 6 --probabilities
  light-registration template scans.csv --output group --workers 2 --threads 1

from Python:
  from LightRegistrationLib.commands.template import build_template
  summary = build_template(["a.nii.gz", "b.nii.gz", "c.nii.gz"], "group")

{EXIT_STATUS}"""

SCANS = "the scans, or one list of them: .csv with the column image, see below"
ITERATIONS = "how often the mean is registered to all scans (default: 4)"
START = """name of the scan that the others are aligned to first: its id, or its file without extension (default: the
one of median volume)"""
SPACING = "voxel size of the template, mm (default: that of a cube of the scans' median voxel volume)"
PROBABILITIES = "with labels: also write for each structure the share of the scans that have it at each voxel"
FORCE = "replace a template of other scans or settings in DIR"
WORKERS = "number of processes; more than 1 need Dask distributed (default: as cores and free memory allow)"
INITIAL = """alignment before the model: none (trust the positions in the files), centers (of the volumes), rigid
(centers, then shift and rotation) or affine (scale and shear too; the default)"""
REFINE = """optimize each deformation: none, fast (the default) or best"""
