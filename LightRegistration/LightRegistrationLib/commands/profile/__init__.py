"""The `profile` command: a pair goes in; the time of each step, the memory and the limits of the machine come out."""
