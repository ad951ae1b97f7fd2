"""One symptom a file: each module has `detect(evidence) -> Finding | None`."""
