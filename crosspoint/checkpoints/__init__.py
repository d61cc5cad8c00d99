"""Checkpoints: the record in a file, and the readers of other codes' weights.

`load_pretrained`, `load_encoder`, `save_encoder`, `Pretrained` and `Inputs` are had from here, too; `crosspoint` has
the same.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crosspoint.checkpoints.pretrained import Pretrained, load_encoder, load_pretrained, save_encoder
    from crosspoint.checkpoints.record import Inputs

__all__ = ["Inputs", "Pretrained", "load_encoder", "load_pretrained", "save_encoder"]


def __getattr__(name: str) -> object:
    """A public name, when it is first asked for: networks import the record of this package, and it imports them."""
    if name in __all__:
        import crosspoint

        return getattr(crosspoint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
