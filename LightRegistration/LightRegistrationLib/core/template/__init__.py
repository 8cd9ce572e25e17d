"""The mean of a group: registered scans go in; their mean shape, mean image and its sharpness come out.

In: for each scan the map from a template to it, and the scan. Out: the map from the mean shape of the group to the
template, the mean image in the mean shape, and how sharp it is. Sums are kept, never the scans, so that memory does not
grow with their number.
"""
