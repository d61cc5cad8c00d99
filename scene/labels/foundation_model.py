"""A published network by its name on the Hugging Face hub, or by a local folder: what it is, and how it is loaded."""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import nn

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.labels.maps import file_digest

log = logging.getLogger("crosspoint")

LEAST = "5.13"  # of `transformers`: since then post-processing gives the probability of every class
_DECIDING = (".json", ".safetensors", ".bin", ".txt", ".model")  # weights, settings, vocabularies
_MENTIONED = 200  # letters of a library's message
_PATIENCE = 10.0  # seconds that the hub has for an answer
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class FoundationModel:
    """A network of `transformers`.

    Args:
        name: its id on the hub, such as "facebook/sam2.1-hiera-large", or a folder that `save_pretrained` wrote.
        revision: of the hub's repository, a branch, a tag or a commit; None for the one in the cache, else the newest.
    """

    name: str
    revision: str | None = None

    def config(self) -> Any:
        """Its configuration, without its weights.

        Raises:
            FileNotFoundError: if it is neither here nor to be had.
            ImportError: if `transformers` is not installed, or too old.
            ValueError: if what is there is no such network, or a folder is given with a revision.
        """
        if self.revision is not None and self._is_folder():
            raise ValueError(f"found the revision {self.revision} of the folder {self.name}, expected it for a hub id")
        transformers = import_transformers()
        return self._fetched(transformers.AutoConfig.from_pretrained)

    def identity(self) -> JsonObject:
        """What decides its outputs: the id and the commit on the hub, or the name and the digest of a folder.

        Raises:
            FileNotFoundError, ImportError, ValueError: as `config`.
        """
        self.config()  # says what is wrong, and brings what is asked for below into the cache
        if self._is_folder():
            folder = Path(self.name)
            paths = sorted(path for path in folder.iterdir() if path.suffix in _DECIDING and path.is_file())
            lines = "".join(f"{file_digest(path)}  {path.name}\n" for path in paths)
            return {"model": folder.resolve().name, "sha256": hashlib.sha256(lines.encode()).hexdigest()}
        return {"model": self.name, "revision": self.commit()}

    def commit(self) -> str | None:
        """The commit on the hub that is in the cache; None for a folder, or where there is none."""
        if self._is_folder() or not _HUB_ID.fullmatch(self.name):
            return None
        hub = importlib.import_module("huggingface_hub")
        path = hub.try_to_load_from_cache(self.name, "config.json", revision=self.revision)
        return Path(path).parent.name if isinstance(path, str) else None

    def processor(self, kind: Any, **options: Any) -> Any:
        """What prepares its inputs: `kind`, a class of `transformers` or one of its Auto classes, with `options`.

        Raises:
            FileNotFoundError, ImportError, ValueError: as `config`.
        """
        return self._fetched(kind.from_pretrained, **options)

    def network(self, kind: Any, device: str) -> nn.Module:
        """Its network in evaluation mode and 32-bit floats: published weights of 16 bits are widened.

        Args:
            kind: a class of `transformers` or one of its Auto classes.
            device: where to.

        Raises:
            FileNotFoundError, ImportError, ValueError: as `config`.
        """
        with _silent():
            network, report = self._fetched(kind.from_pretrained, dtype=torch.float32, output_loading_info=True)
        missing = sorted(report["missing_keys"])
        if missing:
            log.warning(
                "found no weights for %d parts of %s (%s …): they are random; harmless only where its authors left out "
                "what is not used",
                *(len(missing), self.name, missing[0]),
            )
        return network.to(device).eval()

    def _is_folder(self) -> bool:
        return Path(self.name).is_dir()

    def _fetched(self, load: Callable[..., Any], **options: Any) -> Any:
        """The result of a `from_pretrained`: from the folder, the cache or the hub, in this order."""
        cached = self.commit()
        try:
            if self._is_folder():
                return load(self.name, **options)
            if cached is not None:  # without a look at the hub, which takes half a minute where there is no network
                with suppress(OSError):  # of a download that was not finished
                    return load(self.name, revision=cached, local_files_only=True, **options)
            self._reach_hub()
            return load(self.name, revision=cached or self.revision, **options)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise ValueError(
                f"found no network that can be read in {self.name} ({_short(error)}), expected one of `transformers` "
                "with weights and settings: fetch it anew"
            ) from None

    def _reach_hub(self) -> None:
        if not _HUB_ID.fullmatch(self.name):
            raise FileNotFoundError(f"found no folder {self.name}, expected one, or a hub id: owner/name")
        hub = importlib.import_module("huggingface_hub")
        try:
            hub.HfApi().model_info(self.name, revision=self.revision, timeout=_PATIENCE)
        except Exception as error:  # of the library for HTTP, which is another one in another version of the hub's
            at = f" at {self.revision}" if self.revision else ""
            raise FileNotFoundError(
                f"found no {self.name}{at}, neither as a folder, nor in the cache, nor on the hub ({_short(error)}): "
                f"where there is a network, run `hf download {self.name}`, then copy ~/.cache/huggingface here, or "
                "give the folder that --local-dir of that command wrote"
            ) from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:_MENTIONED]


def import_transformers() -> Any:
    """The library.

    Raises:
        ImportError: if it is not installed, or too old.
    """
    remedy = f"expected {LEAST} or newer for weak labels: pip install 'crosspoint3d[labels]'"
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError(f"found no working transformers ({error}), {remedy}") from error
    if Version(transformers.__version__) < Version(LEAST):
        raise ImportError(f"found transformers {transformers.__version__}, {remedy}")
    return transformers


@contextmanager
def _silent() -> Iterator[None]:
    """No table of weights: what matters of it is said in a line of ours."""
    logging_of_library = importlib.import_module("transformers.utils.logging")
    before = logging_of_library.get_verbosity()
    logging_of_library.set_verbosity_error()
    try:
        yield
    finally:
        logging_of_library.set_verbosity(before)
