"""What `--help` says."""

from __future__ import annotations

EXIT_STATUS = """\
exit status:
  0    done; everything was written
  2    wrong usage or input; one line on standard error says what and what to do
  130  interrupted (Ctrl-C); 129 and 143: ended with its terminal, or by another program
  In no case is half a result left behind: a folder with a report.json is complete."""

PROGRAM = """\
Deformable registration of two medical volumes in seconds on an ordinary CPU.
Runs on the scene of 3D Slicer, without its windows."""

PROGRAM_END = f"""\
first steps:
  light-registration demo --output demo                      try it on a built-in pair
  light-registration register fixed.nii.gz moving.nii.gz --output result
  light-registration register --help                         formats, options, what is written

{EXIT_STATUS}"""

REGISTER = """\
Deform the moving volume onto the fixed one.

Volumes: .nii, .nii.gz, .nrrd, .mha, .mhd, or a folder with one DICOM series; any orientation, spacing and size.
Segmentations: label maps in the same formats, or .seg.nrrd. They are compared where both are given (structures of
equal name, else of equal label value); they do not steer the registration, unless --keep-volume names some."""

REGISTER_END = f"""\
what is written to DIR:
  transform.h5                where each fixed point lies in the moving volume (ITK transform: LPS, mm).
                              Slicer: put the moving volume under it. SimpleITK: ReadTransform, then
                              Resample(moving, fixed, transform).
  warped.nii.gz               the moving volume on the fixed grid (trilinear, the moving volume's own type and
                              intensities; its least value where it has no voxels)
  warped_segmentation.nii.gz  the moving segmentation on the fixed grid (nearest neighbor, its own label values)
                              (both as .nii with --no-compression)
  views/*.png                 with --views: slice views before and after, grid, outlines, match and mismatch
  report.json                 everything in numbers:
    inputs, outputs           files as named; results relative to DIR
    fixed, moving             name, size_ijk, spacing_mm, affine_ijk_to_ras_mm, type
    model, settings           name, weights_sha256, and the reason why this model; what was asked for
    masks                     names of the fixed and the moving mask
    initial_matrix_fixed_to_moving_ras_mm   the alignment before the model, 4x4
    seconds                   wall time per stage
    jacobian                  percent_nonpositive (folding, % of the raw determinants <= 0), minimum, std_log
    refinement                with --refine: preset, metric, steps, why it ended, similarity_before and _after
    kept                      with --keep-volume, per structure: name, change_percent, and change_percent_free (as it
                              would have been)
    structures                per structure: name, value, fixed_voxels, and before and after registration
                              dice, jaccard (0 to 1), hd95_mm, volume_change_percent; null without segmentations
    mean                      the same, averaged over the structures
    labels                    value and name of each structure in warped_segmentation.nii.gz
    warnings, versions, schema

examples:
  light-registration register visit1.nii.gz visit2.nii.gz --output result
  light-registration register atlas.nrrd patient_dicom/ --output result --views
  light-registration register f.nii.gz m.nii.gz --fixed-segmentation f_labels.nii.gz \\
      --moving-segmentation m.seg.nrrd --output result --force
  light-registration register f.mha m.mha --initial rigid.tfm --threads 2 --output result
  light-registration register f.nii.gz m.nii.gz --refine best --fixed-mask brain.nii.gz \\
      --moving-segmentation m.seg.nrrd --keep-volume Tumor --output result

from Python:
  from LightRegistrationLib.commands.register import register_files
  report = register_files("f.nii.gz", "m.nii.gz", "result", views=True)

{EXIT_STATUS}"""

FORCE = "replace an earlier result in DIR (other files there stay), once the new one is complete"
MODEL = "model to use, see `light-registration models` (default: auto, the one for images like both volumes)"
CASCADES = "how often the model refines its answer, 1 to 3 (default: as it was trained)"
INITIAL = """alignment before the model: none (trust the positions in the files), centers (of the volumes), affine
(centers, then shift, rotation, scale and shear; the default), or a linear ITK transform file that maps fixed to
moving points (.h5, .tfm, .txt, .mat)"""
REFINE = """whether the model's deformation is then optimized for this pair: none (the default; two contrasts get some
coarse steps all the same), fast (a few seconds) or best (takes longer, until it no longer gains)"""
MASK = """where the {role} volume is compared: label map or .seg.nrrd, on any grid; everything that is not 0 counts,
what lies outside only follows"""
KEEP_VOLUME = """structures of the moving segmentation, by name or label value, whose volume the deformation must not
change (tumors); the report says by how much it did"""
NO_COMPRESSION = "write images as .nii instead of .nii.gz, which takes less time and more disk"
MODELS = """\
List the models that can be used, show the card of one, check that they work, and add your own.
Without an action the models are listed."""
MODELS_END = f"""\
examples:
  light-registration models
  light-registration models show brain-mri
  light-registration models verify
  light-registration models add my-models/knee-mri

Models that are added are kept in your own folder (LightRegistration/Models in the place that the system has for
application data, or the folder that the environment variable LIGHTREG_MODELS names). The panel in Slicer offers them
too, and `auto` chooses among all models whose card says in numbers what they are for (`covers`).

{EXIT_STATUS}"""
MODELS_LIST = "Name, kind of image, number of weights, file size, training steps, license and purpose of each model."
MODELS_SHOW = "Show the card of a model: its data, license, results and limits."
MODELS_VERIFY = """\
Check the weights against the card's hash, build the network, and register a small built-in pair with it: the answer
must be finite and must not fold. Exit status 2 if a model fails, with one line that says why."""
MODELS_ADD = """\
Copy a model folder (card.json and weights.safetensors, as training writes it) into your own folder of models. The
folder's name becomes the model's. Everything is checked before anything is changed."""
MODELS_REMOVE = "Remove a model that was added; a bundled model that it replaced is used again."
DEMO = """\
Register a built-in pair and print a short table. The pair is made on the spot: two scans of a phantom head with
known anatomy, the second one deformed in a known way, so that the error of the registration is known too.
With --fixed and --moving the same is done with your own files."""
DEMO_END = """\
what is written to DIR: the result with pictures, as `register --views` does. For the built-in pair also its files in
DIR/inputs, and `known_deformation` in report.json: the lengths of the true displacements and of the error that is
left, mm, in the brain and in the whole head."""
EVALUATE = """\
Register many pairs and measure how well their structures and landmarks match: as loaded, after the affine stage, and
after the model. What is done is kept: run it again to go on where it was stopped, or after a change of the list; a
pair is done again only if one of its files, the model or an option has changed."""
EVALUATE_END = f"""\
the list of pairs:
  A CSV file with the columns fixed, moving, and optionally fixed_labels, moving_labels, landmarks, id, group; paths are
  relative to it. Volumes and label maps: .nii, .nii.gz, .nrrd, .mha, .mhd. landmarks: a CSV file with the columns
  fixed_x, fixed_y, fixed_z, moving_x, moving_y, moving_z, world RAS mm. group: pairs of a group are averaged together.
  Or a JSON file with a list `pairs` of the same keys (`anatomy` for group).

what is written to DIR:
  results.csv     a line for each pair and method: dice, jaccard, hd95_mm (means over the structures), tre_mm (mean over
                  the landmarks), folding_percent, std_log_jacobian, seconds, grid_seconds (of the network), structures,
                  below_affine (1: worse than the affine stage on this pair), warnings, error
  summary.json    mean and standard deviation over the pairs, dice30 (30 % quantile), the worst pair, pairs below affine
  pairs/*.json    each pair, with the Dice of each structure
  pictures/*.png  with --pictures: middle slices fixed, moving after affine and model, differences, outlines

examples:
  light-registration evaluate pairs.csv --output evaluation --pictures
  light-registration evaluate manifest.json --groups brain_t1 --model brain-mri --cascades 1 2 3 --output evaluation

{EXIT_STATUS}
  Here 2 also says that some pair could not be evaluated; the others are measured and written."""
EVALUATE_REFINE = (
    "optimize the model's deformation for each pair, as `register --refine` does; measure each (default: none)"
)
EVALUATE_CASCADES = "measure the model with so many cascades, each (default: as it was trained)"
EVALUATE_GROUPS = "take only the pairs of these groups"
EVALUATE_MINIMUM = "leave out structures with fewer voxels in one of the two (default: 100)"
PROFILE = """\
Register a pair some times in one process, as the panel's worker does, and say where each millisecond goes. Without
FIXED and MOVING a built-in pair is made."""
PROFILE_SIZE = "voxels along an axis of the built-in pair, 16 to 512 (default: 128)"
PROFILE_END = f"""\
what is printed (and with --json written to FILE):
  a line for each stage of the median run, and below it for what it consists of: wall time, CPU time of all threads,
  number of calls. What a stage does beside its parts is not listed. The first run, which loads the model, is left out.
    average blocks      both volumes shrunk to about the network's resolution, in [0, 1]
    affine              the alignment before the model
    sample on the grid  both volumes on the network's grid
    convolutions        the network itself; squarings, warps, resizing of flows: what is done with its answer
    field in mm, mend folds, Jacobian determinants, correlation: the answer as a displacement field, checked
    warp, compare       the moving volume and structures on the fixed grid, and their scores
    write               the warped volume as a file, compressed and not
  first picture         until the field is there: Slicer draws the moving volume under it while the rest follows
  whole result          until volume and structures are warped and compared, without writing files
  peak memory           of the process, inputs included
  matrix products       how fast this machine multiplies matrices (torch.mm, the fastest of several), which is the most
                        that any network could reach; the network's multiply-adds, the time that they would take at
                        that rate, and how much of it the convolutions reach

examples:
  light-registration profile
  light-registration profile --size 256 --threads 2 --json profile.json
  light-registration profile f.nii.gz m.nii.gz --model abdomen-ct --refine fast

{EXIT_STATUS}"""
