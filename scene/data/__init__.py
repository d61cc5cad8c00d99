"""LiDAR–camera samples: frames, point–pixel pairs, augmentations, batches."""
