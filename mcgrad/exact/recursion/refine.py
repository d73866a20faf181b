"""Grids."""


def on_grids(model, asked, options, error):
    raise error
