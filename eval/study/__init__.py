"""Several encoders measured by several protocols: from checkpoints to what a report shows."""
