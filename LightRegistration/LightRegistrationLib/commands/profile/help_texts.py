"""Help texts of the `profile` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

PROFILE = """\
Register a pair several times in one process, as the panel's worker does, and print the time of each step. Without
FIXED and MOVING a built-in pair is used."""
SIZE = "voxels along an axis of the built-in pair, 16 to 512 (default: 128)"
PROFILE_END = f"""\
what is printed (and with --json written to FILE):
  a line for each stage of the median run, and below it for its parts: wall time, CPU time of all threads, number of
  calls. The rest of a stage is not listed. The first run, which loads the model, is left out.
    average blocks      both volumes averaged to about the network's resolution, in [0, 1]
    affine              the alignment before the model
    sample on the grid  both volumes on the network's grid
    convolutions        the network itself; squarings, warps, resizing of flows: the processing of its output
    field in mm, repair folding, Jacobian determinants, correlation: the output as a displacement field, checked
    warp, compare       the moving volume and structures on the fixed grid, and their scores
    write               the warped volume as a file, compressed and not
  first picture         until the field is found: Slicer then draws the moving volume under it
  whole result          until volume and structures are warped and compared, without writing files
  peak memory           of the process, inputs included
  matrix products       how fast this machine multiplies matrices (torch.mm, the fastest of several), the upper limit
                        for any network; the network's multiply-adds, the time that they would take at that rate, and
                        the percentage of it that the convolutions reach

examples:
  light-registration profile
  light-registration profile --size 256 --threads 2 --json profile.json
  light-registration profile f.nii.gz m.nii.gz --model abdomen-ct --refine fast

{EXIT_STATUS}"""
