"""What it sounds like: deconvolution, maximally activating inputs, coherence, faithfulness."""
