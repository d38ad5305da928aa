"""Runs: folders in which fits are kept, from which they go on, are loaded again and told of."""
