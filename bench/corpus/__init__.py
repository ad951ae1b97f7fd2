"""The labelled corpus: runs with one planted fault each, and healthy ones that look like it.

`plants/` has one file a symptom, `sample` says what a plant makes, `try_one` runs a few of one
symptom's by hand, and `evaluate` all of them (`make evaluate`, which writes docs/diagnosis.md).
"""
