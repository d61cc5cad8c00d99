"""Detection of objects in LiDAR frames: networks on a map from above, their targets and losses, their training data."""
