"""Everything that is trained: one LightningModule per loss regime."""
