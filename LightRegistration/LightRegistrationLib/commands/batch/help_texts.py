"""Help texts of the `batch` command."""

from __future__ import annotations

from ..terminal.exit_status import EXIT_STATUS

BATCH = """\
Register many pairs with one command, in several processes (Dask distributed). Each pair has its own folder, which is
complete or not there at all. Run the command again to continue after a stop: a pair is registered again only if one of
its files, an option or the model has changed. A pair that fails never stops the others."""

BATCH_END = f"""\
the list of pairs:
  The CSV file of `evaluate`: the columns fixed, moving, and optionally fixed_labels, moving_labels, landmarks (a CSV
  file, see --landmarks of `register`; with the shape pairs only), id and group (for the table); paths are relative to
  it.

a BIDS folder:
  Its scans take the place of the list. With the shape pairs, the later scans of each person are registered to the
  first one (in the order of their names); the other shapes take all scans.

shapes of work:
  pairs         the pairs as they are listed (the default)
  all-to-one    every volume of the list, fixed or moving, to the fixed volume of the first row
  atlas-to-all  the moving volume of the first row, with its labels, to every other volume of the list
  all-to-all    every volume of the list to every other

what is written to DIR:
  pairs/NAME/   what `register` writes, for each pair
  failed/*.json each pair that failed, with its one line
  table.csv     a row for each pair: group, state, Dice, distance of the landmarks (TRE), folding, seconds, warnings,
                error (also table.parquet if pyarrow is installed)
  index.html    the same on one page, the worst pair first: pictures before and after, links to the folders, and box
                plots of the Dice of each structure
  bids/         with --layout bids: dataset_description.json, and in sub-*/[ses-*/]anat for each pair
                *_from-A_to-B_mode-image_xfm.h5 and .json (the report), its inverse *_from-B_to-A_mode-image_xfm.h5,
                *_space-B_A.nii.gz, *_space-B_dseg.nii.gz and .tsv; A is the suffix of the moving volume (T1w), B the
                template or the fixed volume

processes:
  By default, as many processes as cores and free memory allow, with the cores shared among them; both are printed.
  The scheduler listens on this machine alone (127.0.0.1). A process that is killed or runs out of memory is replaced,
  and its pair tried once more, with one thread. --scheduler ADDRESS uses a running scheduler instead; its workers need
  this program and the same paths. See docs/researcher/batch.md.

examples:
  light-registration batch pairs.csv --output study --dry-run
  light-registration batch pairs.csv --output study --refine fast --inverse
  light-registration batch --bids study --shape all-to-one --fixed tpl-MNI_T1w.nii.gz --layout bids --output out
  light-registration batch scans.csv --output atlas --shape atlas-to-all --workers 4 --threads 2

{EXIT_STATUS}
  Exit status 2 also if a pair failed; the others are registered and written."""

PAIRS = "list of pairs: .csv, or .json with a list `pairs`"
BIDS = "top folder of a BIDS data set, instead of a list: scans of sub-*/[ses-*/]anat, see below"
FILTER = """with --bids: which scans, by suffix and entities, such as suffix=T1w session=01 (default: suffix=T1w)"""
FIXED = "with --bids and --shape all-to-one: the fixed volume, such as a template (default: the first scan)"
LAYOUT = """folders (the default), or bids: also write DIR/bids, a derivative data set with the names of fMRIPrep (hard
links to the files of the pairs); implies --inverse"""
SHAPE = "which volumes are registered to which, see below (default: pairs)"
WORKERS = "number of processes (default: as cores and free memory allow)"
THREADS = "CPU threads of each process (default: the cores, shared among the processes)"
MEMORY = "gigabytes that a process may use before it is replaced (default: its share of the free memory)"
SCHEDULER = "address of a running Dask scheduler, such as tcp://127.0.0.1:8786, instead of processes of this command"
DRY_RUN = "say what would be registered, with how many processes, and end"
RETRY = "also try the pairs again that failed before and have not changed"
