"""Figures: one figure, one script, drawn from the CSV files of studies alone. Draw them with `python -m figures`."""
