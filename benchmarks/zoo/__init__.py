"""A table of the world: networks of many kinds, each through the recipes that ship: what became of each."""
