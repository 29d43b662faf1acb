"""Assay beside the tools that one would pick instead: the same items, the same endpoint, the same run (`python -m bench.peers`)."""
