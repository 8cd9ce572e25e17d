"""Help texts of the `register` command and of the options that other commands share."""

from __future__ import annotations

from ...core.report.definition import SCHEMA_VERSION
from ..terminal.exit_status import EXIT_STATUS

REGISTER = """\
Deform the moving volume onto the fixed one.

Volumes: .nii, .nii.gz, .hdr, .nrrd, .nhdr, .mha, .mhd, or a folder with a DICOM series (--series chooses one of
several); any orientation, spacing and size.
Segmentations: label maps in the same formats, or .seg.nrrd. They are compared where both are given (structures of
equal name, else of equal label value); they do not steer the registration, unless --keep-volume names some."""

REGISTER_END = f"""\
what is written to DIR:
  transform.h5                maps fixed points to moving points (ITK transform: LPS, mm).
                              Slicer: put the moving volume under it. SimpleITK: ReadTransform, then
                              Resample(moving, fixed, transform).
  inverse.h5                  with --inverse: maps moving points to fixed points, for what goes from fixed to moving
  warped.nii.gz               the moving volume on the fixed grid (trilinear interpolation, voxel type and intensities
                              of the moving volume; its smallest value outside of its field of view)
  warped_segmentation.nii.gz  the moving segmentation on the fixed grid (nearest neighbor, its own label values)
                              (both as .nii with --no-compression)
  views/*.png                 with --views: slice views before and after, grid, outlines, match and mismatch
  report.html                 with --report: pictures, tolerances and all numbers on one page, which needs no other file
  report.json                 all numbers: model, settings, times, Jacobian determinant, refinement, Dice and surface
                              distance of each structure, and distance of landmarks, before and after, changes
                              (--follow-up), warnings. Its keys: docs/researcher/report-schema.md, or the JSON Schema
                              LightRegistrationLib/core/report/report.schema.json (schema {SCHEMA_VERSION})

what is written to DIR with --layout bids, in sub-*/[ses-*/]anat:
  *_from-A_to-B_mode-image_xfm.h5 and .json (transform, report), *_from-B_to-A_mode-image_xfm.h5 (inverse),
  *_space-B_A.nii.gz, *_space-B_dseg.nii.gz and .tsv; A is the suffix of the moving volume, whose name has to be as in
  BIDS (sub-01_T1w.nii.gz), B the template or the fixed volume; and dataset_description.json, unless it is there

examples:
  light-registration register visit1.nii.gz visit2.nii.gz --output result
  light-registration register atlas.nrrd patient_dicom/ --output result --views
  light-registration register f.nii.gz m.nii.gz --fixed-segmentation f_labels.nii.gz \\
      --moving-segmentation m.seg.nrrd --output result --force
  light-registration register f.mha m.mha --initial rigid.tfm --threads 2 --output result
  light-registration register f.nii.gz m.nii.gz --refine best --fixed-mask brain.nii.gz \\
      --moving-segmentation m.seg.nrrd --keep-volume Tumor --output result
  light-registration register tpl-MNI_T1w.nii.gz sub-01_T1w.nii.gz --layout bids --output derivatives/registered
  light-registration register visit1.nii.gz visit2.nii.gz --follow-up --refine fast --output result

from Python:
  from LightRegistrationLib.commands.register import register_files
  report = register_files("f.nii.gz", "m.nii.gz", "result", views=True)

{EXIT_STATUS}"""

FORCE = "replace an earlier result in DIR once the new one is complete; other files in DIR stay"
SEGMENTATION = "structures in the {role} volume: label map or .seg.nrrd, on any grid"
LANDMARKS = """corresponding points, whose distance before and after goes to the report: .csv with the columns fixed_x,
fixed_y, fixed_z, moving_x, moving_y, moving_z, RAS mm"""
MODEL = "model to use, see `light-registration models` (default: auto, the model that fits both volumes)"
CASCADES = "number of cascades on the network grid, 1 to 3 (default: as the model's card says)"
INITIAL = """alignment before the model: none (trust the positions in the files), centers (of the volumes), rigid
(centers, then shift and rotation), affine (scale and shear too; the default), or a linear ITK transform file that maps
fixed to moving points (.h5, .tfm, .txt, .mat)"""
REFINE = """whether the deformation is then optimized for this pair: none (the default; multimodal pairs get a few
coarse steps), fast (a few seconds) or best (takes longer, until there is no more gain)"""
SERIES = """which series of a DICOM folder to use: its number or UID, or fixed=NUMBER,moving=NUMBER if both folders hold
several; without NUMBER, the series of both folders are listed and nothing is registered"""
THREADS = "CPU threads, up to four for each core (default: all cores)"
MASK = """where the {role} volume is compared: label map or .seg.nrrd, on any grid; all values except 0 count. Outside,
the deformation follows by smoothness"""
KEEP_VOLUME = """structures of the moving segmentation, by name or label value, whose volume the deformation must
preserve (tumors); the report has the volume change that remains"""
INVERSE = """also write the inverse transform, inverse.h5: checked inside the field of view of both volumes, with the
errors in the report and a warning where they are large; takes some seconds more"""
FOLLOW_UP = """both volumes are scans of one person in one contrast: a rigid alignment and a stiff deformation, which
tissue that only one scan shows does not drive; what changed keeps its volume and is listed"""
CONSISTENCY = """also register the fixed volume to the moving one, and report how far both results together miss the
identity (inverse consistency); takes twice the time"""
LAYOUT = """folders (the default: DIR holds this pair), or bids: DIR is a BIDS derivative data set, new or with other
pairs, to which the result is added with the names of fMRIPrep; implies --inverse"""
NO_COMPRESSION = "write images as .nii instead of .nii.gz: faster, but larger files"
PAGE = "also write report.html: pictures before and after, grid, structures and tolerances on one page"
