"""What happens when it is changed: edits of a layer, pushed through the rest of the network, and their outcomes."""
