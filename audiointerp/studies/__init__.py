"""One file per experiment, reading like the methods section of its paper."""
