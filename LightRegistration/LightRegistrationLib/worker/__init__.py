"""The process that registers for the panel: kept warm, killed at any time, watched without threads."""
