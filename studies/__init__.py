"""Studies: one question, one script, results in `results/NAME.csv`. Run them with `python -m studies`."""
