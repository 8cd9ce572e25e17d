"""Files and DICOM folders in, nodes of the scene out; nodes and scenes are also written to files.

An unusable file raises InputError with one line that names the path.
"""
