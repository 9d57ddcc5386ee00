"""Models on this machine: what there is, where from, and whether it is whole."""
