"""The parts of the comparison. In: pairs and methods. Out: measured rows, statistics, tables and a plot."""
