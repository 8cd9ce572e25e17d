"""The modules of the host double do not import each other in a circle."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_module_of_the_host_double_imports_itself_in_a_circle():
    graph = grimp.build_graph("slicer_host", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle
    assert len(imports) > 20
