"""LiDAR–camera pairs, and the methods that learn from them. Nothing is here yet: see docs/design.md."""
