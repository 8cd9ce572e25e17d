"""What all commands share on the terminal: parser, messages, progress bar, exit statuses, stop signals, versions."""
