"""The exit statuses of the command line, and their help text."""

from __future__ import annotations

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130

EXIT_STATUS = """\
exit status:
  0    done; everything was written
  2    wrong usage or input; one line on standard error says what is wrong and what to do
  130  interrupted (Ctrl-C); 129 and 143: ended with its terminal, or by another program
  141  the program that read the output has ended
  A result is written as a whole or not at all: a folder with a report.json is complete."""
