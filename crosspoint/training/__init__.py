"""Pre-training: configuration, the LightningModule, the trainer, the folder of a run."""
