"""Scoring programs: Codabench's contract over an evaluation's predictions. docs/scoring-programs.md tells it from outside.

`command` reads what is to be run, `layout` makes what the program finds, `log` takes what it says, `scores` and `output` what it
leaves, and `run` does it all in turn.
"""
