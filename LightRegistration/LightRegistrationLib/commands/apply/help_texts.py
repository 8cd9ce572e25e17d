"""Help texts of the `apply` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

APPLY = """\
Bring INPUT into the space of the reference by stored transforms: volumes, label maps, 4-D series, points, surfaces.

The transforms are those of `register` (transform.h5: reference = fixed, input = moving), or any that ITK reads. They
map points of the reference to points of the input. Images are therefore sampled through them, and points and surfaces
go the other way, through their inverse, which is computed here: the same transforms, in the same order, bring an image,
its labels, its points and its surfaces to the same place. (Programs that map given points forward, as
antsApplyTransformsToPoints does, need the inverse transforms for points.)"""

APPLY_END = f"""\
order of several transforms:
  From the reference to the input, as antsApplyTransforms has it: a point of the reference goes through the first one,
  its image through the second one, and so on. With a_from_b (fixed a, moving b) and b_from_c (fixed b, moving c),
  --transform a_from_b/transform.h5 --transform b_from_c/transform.h5 brings c to a; and
  --inverse b_from_c/transform.h5 --inverse a_from_b/transform.h5 brings a to c.

files:
  transform  .h5, .tfm, .txt, .mat; displacement fields also .nrrd, .nii, .nii.gz, .mha (LPS mm, as ITK has them)
  image      read: .nii, .nii.gz, .hdr, .nrrd, .nhdr, .mha, .mhd, .seg.nrrd, a DICOM folder; 4-D: .nii, .nii.gz
             written: .nii, .nii.gz, .nrrd, .mha, .seg.nrrd (4-D: .nii, .nii.gz); voxel type, label values and names of
             the structures stay; outside of INPUT: its smallest value with linear, 0 with nearest and label-smooth
  points     .csv with the columns x, y, z in mm (RAS, or LPS with --lps) and any others, which stay; Slicer's .mrk.json
  surface    .vtk, .vtp, .stl, .ply; one that does not name its coordinate system is LPS, as Slicer has it

examples:
  light-registration apply moving.nii.gz --transform result/transform.h5 --reference fixed.nii.gz --output moved.nii.gz
  light-registration apply labels.nii.gz --transform result/transform.h5 --reference fixed.nii.gz \\
      --interpolation label-smooth --output moved_labels.nii.gz
  light-registration apply landmarks.csv --transform result/transform.h5 --output moved_landmarks.csv
  light-registration apply fixed_surface.stl --inverse result/transform.h5 --output surface_in_moving.stl

from Python:
  from LightRegistrationLib.commands.apply import apply_transforms, inverse_of
  apply_transforms(["a_from_b/transform.h5"], "b.nii.gz", "b_in_a.nii.gz", reference="a.nii.gz")
  apply_transforms([inverse_of("a_from_b/transform.h5")], "a.csv", "a_in_b.csv")

{EXIT_STATUS}"""

INPUT = "what is transformed: image, label map, 4-D series, points or surface"
OUTPUT = "file for the result, of the same kind as INPUT"
TRANSFORM = "stored transform, reference to input; give it several times to compose them, see below for the order"
INVERSE = "the same, but the inverse of the transform is used at this place of the order"
REFERENCE = """volume or label map whose grid an image gets (needed for images; for points only to warn of those that
come to lie outside of it)"""
INTERPOLATION = """between voxels: linear (the default, for scans), nearest (label maps; the default for .seg.nrrd) or
label-smooth (label maps: the label with the greatest trilinear weight; smoother surfaces)"""
LPS = "the points of a CSV file are in LPS mm, as ITK and ANTs write them, and so is the result (default: RAS mm)"
