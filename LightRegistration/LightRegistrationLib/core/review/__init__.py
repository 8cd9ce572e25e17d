"""What a reader needs to judge one registration: pictures, tolerances, and both on one self-contained HTML page.

In: the volumes, the segmentations, the displacement field, and the report. Out: RGB pictures (arrays), checks of
tolerances, the text of the page, and maps of the deformation for the views. Torch-free. Pictures are encoded as PNG by
`scene.files.png`.
"""
