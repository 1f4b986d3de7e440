"""What can be pulled apart: factor flow, variational autoencoders, disentanglement metrics."""
