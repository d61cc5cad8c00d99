"""Looking at a frame: points over its images, the cloud from above, and a page that turns it."""

from scene.look.show import show

__all__ = ["show"]
