"""LiDAR–camera pairs, and the methods that learn from them. Nothing is here yet: see docs/design.md."""

if __name__ != "crosspoint.scene":
    raise ImportError("found the folder `scene` imported by its bare name, expected: import crosspoint.scene")
