"""Help texts of the `series` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

SERIES = """\
Register every frame of a 4-D series to one frame of it, or to the mean of all frames."""

SERIES_END = f"""\
the series:
  One 4-D file (.nii, .nii.gz, .nrrd, .nhdr, .seq.nrrd), or a file or DICOM folder for each frame, in their order. The
  time of each frame comes from the header. Frames are counted from 0. A frame that is empty or cannot be registered is
  named and left out; it stays as an empty frame in the warped series. Time points that are missing are named.

what is written to DIR:
  warped.nii.gz       the series on the grid of the reference, which Slicer loads as a sequence
  transforms.seq.mrb  the transforms as a sequence that Slicer loads and plays; put a volume under its transform
  transforms/*.h5     the same, one file a frame: from the reference to the frame, as `register` writes them
  mean.nii.gz         with --to-mean: the mean of the registered frames
  points.csv          with --points: for each point and frame its place and its displacement from the reference, RAS mm
  points.svg          the distances over time
  series.json         displacement of the body, model and warnings of each frame

  With --to-mean, the frames are first averaged as they are loaded, on the grid of the first one; in each round, all are
  registered to the mean, and the mean is made anew from the registered frames.

examples:
  light-registration series breathing.nii.gz --frame 0 --points tumor.mrk.json --output motion
  light-registration series phases.seq.nrrd --to-mean --output mean
  light-registration series phase00.nii.gz phase10.nii.gz phase20.nii.gz --frame 0 --output phases

from Python:
  from LightRegistrationLib.commands.series import register_series
  summary = register_series("breathing.nii.gz", "motion", frame=0, points="tumor.mrk.json")

{EXIT_STATUS}"""

INPUTS = "4-D file, or a file or DICOM folder for each frame"
FRAME = "register to this frame, counted from 0"
TO_MEAN = "register to the mean of all frames"
ROUNDS = "with --to-mean: how often all frames are registered to the mean (default: 2)"
POINTS = "points of the reference, .csv (x, y, z in RAS mm, and maybe label) or .mrk.json, to follow over time"
LPS = "the points of a CSV file are in LPS mm"
INITIAL = """alignment before the model: none (the frames share a position; the default), centers (of the volumes),
rigid (centers, then shift and rotation) or affine (scale and shear too)"""
REFINE = "optimize each deformation: none, fast (the default) or best"
