"""The `evaluate` command: a list of pairs goes in, measures of each pair and their summary come out."""
