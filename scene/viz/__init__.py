"""Looking at a frame: points over its images, the cloud from above, and a page that turns it."""

from crosspoint.scene.viz.show import show

__all__ = ["show"]
