"""Training with labels: classification, part segmentation, semantic segmentation."""
