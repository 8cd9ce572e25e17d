"""The process that registers for the panel: requests with arrays go in, progress, fields and reports come out.

It keeps torch and the models in memory, can be killed at any time, and is polled without threads.
"""
