"""What the network thinks: capture of layers, exact linear reductions, the on-disk store."""
