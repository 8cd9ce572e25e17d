"""Help texts of the `fuse` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

FUSE = """\
Label a scan from labeled atlases: each is registered to the scan, and their warped labels are fused into one label map.

Where all atlases agree their label is taken. Elsewhere each atlas votes: all alike (majority), or weighted by how well
its image matches the scan there (joint: joint label fusion after Wang et al., IEEE TPAMI 2013, in which atlases that
make the same errors share one vote). Joint fusion needs atlases of the scan's contrast."""

FUSE_END = f"""\
the list of atlases:
  A CSV file with the columns image, labels, and optionally id; paths are relative to it. A label map has to be on the
  grid of its image; a .seg.nrrd file can be on any grid. Structures of equal name are the same; if one of the atlases
  has a label map, which has no names, those of equal value. Names and values stay as they are.

what is written to DIR with --target:
  labels.nii.gz    the label map on the grid of the target (.nii with --no-compression)
  labels.seg.nrrd  the same with names and colors, if the atlases have them
  volumes.csv      voxels and volume (mm³) of each structure
  fusion.json      the same, the settings, and the mean weight and the warnings of each atlas
  probabilities/   with --probabilities: for each structure, the share of the weights that voted for it

what is written to DIR with --leave-one-out:
  results.csv      a row for each scan, labeled from all others: mean Dice over its structures of the best single atlas,
                   of the single atlases on average, of majority and of joint; a structure that is missed counts 0, but
                   a single atlas that lacks a structure is not measured on it
  structures.csv   the Dice of each structure
  fusion.json      the same as results.csv, and the settings

  An atlas that cannot be registered is left out with a warning; two have to be left. Memory does not grow with the
  number of atlases: their warped images lie in DIR until the end (6 to 8 bytes for each voxel of the target and atlas).

examples:
  light-registration fuse atlases.csv --target patient.nii.gz --output labels
  light-registration fuse atlases.csv --target patient.nii.gz --method majority --probabilities --output labels
  light-registration fuse atlases.csv --leave-one-out --output evaluation

from Python:
  from LightRegistrationLib.commands.fuse import evaluate_fusion, fuse_atlases
  summary = fuse_atlases("patient.nii.gz", [("a.nii.gz", "a.seg.nrrd"), ("b.nii.gz", "b.seg.nrrd")], "labels")
  rows = evaluate_fusion("atlases.csv", "evaluation")

{EXIT_STATUS}"""

ATLASES = "list of atlases: .csv with the columns image and labels"
TARGET = "volume that gets labels: file or DICOM folder"
LEAVE_ONE_OUT = "label each scan of the list from all others instead, and compare with its own labels"
SCANS = "with --leave-one-out: leave out only these scans, by id, or by image if they have none"
METHOD = "how the atlases vote: joint (by local similarity; the default) or majority (all alike)"
PATCH = "with joint: images are compared in cubes of this radius, voxels (default: 2, five voxels along each axis)"
SEARCH = """with joint: look for the best match of each patch in voxels up to this far, which corrects small errors of
the registrations, but takes many times longer (default: 0, no search)"""
PROBABILITIES = "also write a probability map of each structure"
INITIAL = """alignment before the model: none (trust the positions in the files), centers (of the volumes), rigid
(centers, then shift and rotation) or affine (scale and shear too; the default)"""
