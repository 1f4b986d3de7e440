"""Who listens: audio networks with named layers, their front ends and their weights."""
