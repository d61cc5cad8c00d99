"""`crosspoint pretrain`: an encoder trained without labels, on objects or scenes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace

from crosspoint.cli.legacy import upgrade
from crosspoint.cli.log import quieten_lightning
from crosspoint.cli.parser import Parser
from crosspoint.cli.plugin_arguments import Chosen, Section, split_flags
from crosspoint.methods.method import Method
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.device import chosen_device
from crosspoint.plugins import SampleDataset, plain
from crosspoint.renderers.files import reading
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_yaml
from crosspoint.training.config import Compute, ProbeConfig, ResolvedTraining, TrainingConfig
from crosspoint.training.loggers import STANDARD, Names, logger_names
from crosspoint.training.run_folder import CONFIG, check_free

log = logging.getLogger("crosspoint")

DESCRIPTION = """Pre-train an encoder, on objects (method crosspoint, the default) or on scenes (methods ppkt, slidr,
simipu, olivine, cmcr, regression): crosspoint pretrain CONFIG.yaml [--key value …]. The folder configs has such files
for each method. The keys below method, encoder, image_encoder and data.dataset are those of the classes that are chosen
there, by short name or import path: crosspoint pretrain CONFIG.yaml --help shows those of a configuration, crosspoint
pretrain --method slidr --data.dataset kitti_raw --help those of a method and a dataset."""

DATASET = Section("data.dataset", "dataset", SampleDataset)
ENCODER = Section("encoder", "encoder", PointEncoder)
IMAGE_ENCODER = Section("image_encoder", "image_encoder", ImageBackbone)
METHOD = Section("method", "method", Method, frozenset({"encoder", "image_encoder"}))
PROBE = Section("probe", None, ProbeConfig)
SECTIONS = (DATASET, ENCODER, IMAGE_ENCODER, METHOD, PROBE)


@dataclass(frozen=True)
class PretrainConfig:
    """A run as it was asked for: what is chosen, but not yet built.

    Args:
        dataset: what the method learns from.
        encoder: the point encoder.
        image_encoder: the image encoder; None where the method looks at no image.
        method: losses and augmentations.
        probe: settings of the probe; None where none are given.
        rest: out, seed, training, compute.
        parser: of the rest.
        written: whether a configuration was given as a file.
    """

    dataset: Chosen
    encoder: Chosen
    image_encoder: Chosen | None
    method: Chosen
    probe: Chosen | None
    rest: Namespace
    parser: Parser
    written: bool = False  # whether a file of YAML was given

    def as_yaml(self) -> str:
        """Every key and its value, as `--config` reads them."""
        rest = plain(self.rest.as_dict())
        images, probe = self.image_encoder, self.probe
        tree = {
            "out": rest["out"],
            "seed": rest["seed"],
            "data": {"dataset": self.dataset.describe()},
            "encoder": self.encoder.describe(),
            "image_encoder": None if images is None else images.describe(),
            "method": self.method.describe(),
            "training": rest["training"],
            "compute": rest["compute"],
            "probe": None if probe is None else probe.describe(),
            **{key: rest[key] for key in ("weights", "extend", "logger") if rest[key] is not None},
        }
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)

    def build_method(self) -> Method:
        """The networks with the random weights of the seed; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.rest.seed)
            encoder = self.encoder.build()
            images = None if self.image_encoder is None else self.image_encoder.build()
            method: Method = self.method.build(encoder=encoder, image_encoder=images)
            return method


def run(arguments: Sequence[str]) -> int:
    """The command."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")  # pretrain CONFIG.yaml
    asked = [word for word in words if word in ("--help", "-h", "--print_config")]
    config = read_config([word for word in words if word not in asked], whole=not asked)
    if asked:
        sys.stdout.write(config.as_yaml() if asked[0] == "--print_config" else _help(config))
        return 0
    return _pretrain(config)


def read_config(words: Sequence[str], *, whole: bool = True) -> PretrainConfig:
    """Flags and YAML files → a run.

    Args:
        words: what was typed after `crosspoint pretrain`.
        whole: whether all that the dataset requires must be there; help and --print_config can do without.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if a key is unknown, a value of another type, or a class cannot be had.
    """
    left, flags = split_flags(words, SECTIONS)
    files, left = _take(left, "--config")
    tree: JsonObject = {}
    for folder in _take(left, "--extend")[0][-1:]:
        tree = _finished(Path(folder))
    for file in files:
        path = Path(file)
        with reading(path, "a configuration in YAML", "--print_config shows the keys"):
            tree = _merged(tree, upgrade(_read_yaml(path)))
    data = tree.pop("data", None) or {}
    if not isinstance(data, Mapping) or not data.keys() <= {"dataset"}:
        raise ValueError(f"found the keys {', '.join(map(str, data))} below data, expected dataset alone")
    method = METHOD.parse(tree.pop("method", None), flags["method"], "crosspoint")
    assert method is not None
    made: type[Method] = method.made
    encoder = ENCODER.parse(tree.pop("encoder", None), flags["encoder"], made.default_encoder)
    default_images = made.default_image_encoder if made.uses_images(method.arguments) else None
    images = IMAGE_ENCODER.parse(tree.pop("image_encoder", None), flags["image_encoder"], default_images)
    if images is not None and not made.uses_images(method.arguments):
        images = None
    probe = PROBE.parse(tree.pop("probe", None), flags["probe"], None)
    parser = _parser()
    rest = parser.read_over(tree, left)
    dataset = DATASET.parse(data.get("dataset"), flags["data.dataset"], "rendered", whole=whole)
    assert encoder is not None and dataset is not None
    return PretrainConfig(dataset, encoder, images, method, probe, rest, parser, bool(files) or rest.extend is not None)


def _pretrain(config: PretrainConfig) -> int:
    from crosspoint.eval import probe_hold_out
    from crosspoint.training.pretrain import pretrain

    quieten_lightning()
    rest = config.parser.instantiate(config.rest)
    check_free(rest.out, rest.resume)
    logger_names(rest.logger, STANDARD)
    method, dataset = config.build_method(), config.dataset.build()
    _refuse_whole_recipe(config)
    best = pretrain(
        method,
        dataset,
        out=rest.out,
        seed=rest.seed,
        training=rest.training,
        compute=rest.compute,
        probe=None if config.probe is None else config.probe.build(),
        measure=probe_hold_out,
        resume=rest.resume,
        weights=rest.weights,
        extend=rest.extend,
        logger=rest.logger,
        progress=sys.stderr.isatty(),
    )
    log.info("use %s", best)
    return 0


def _refuse_whole_recipe(config: PretrainConfig) -> None:
    """Refuse what nobody has asked for by name: a published recipe, made for GPUs, on a CPU.

    Raises:
        ValueError: if neither a file, nor the epochs, nor the accelerator is given, and there is no GPU.
    """
    training, compute = config.rest.training, config.rest.compute
    asked = config.written or training.epochs is not None or compute.accelerator != "auto"
    if asked or chosen_device("auto") != "cpu" or torch.backends.mps.is_available():
        return
    made: type[Method] = config.method.made
    epochs = ResolvedTraining(**made.recipe).epochs
    raise ValueError(
        f"found no GPU and no configuration, so {made.__name__}'s published recipe of {epochs} epochs would run on the "
        "CPU, for days: give a CONFIG.yaml (configs has some for a CPU) or --training.epochs N; to run it anyway, "
        "--compute.accelerator cpu"
    )


def _parser() -> Parser:
    parser = Parser(prog="crosspoint pretrain", description=DESCRIPTION, add_help=False)
    parser.further_keys = ["config", *(section.key for section in SECTIONS)]
    parser.add_argument("--out", type=Path, default=Path("runs/crosspoint"), help="new folder for checkpoints and logs")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order, hold-out and augmentations")
    parser.add_class_arguments(TrainingConfig, "training")
    parser.add_class_arguments(Compute, "compute")
    parser.add_argument(
        "--logger",
        type=Names | None,
        default=None,
        help="csv, tensorboard, wandb, mlflow, several with commas between, or none; by default csv,tensorboard",
    )
    parser.add_argument("--resume", type=bool, default=False, help="go on from last.ckpt where there is one")
    parser.add_argument("--weights", type=Path | None, default=None, help="file that a new run begins with")
    parser.add_argument(
        "--extend",
        type=Path | None,
        default=None,
        help="folder of a finished run that goes on in --out (its name and -extended): give --training.epochs",
    )
    return parser


def _help(config: PretrainConfig) -> str:
    parser = config.parser
    parser.further_rows = [
        ("--config", "YAML file of these keys"),
        ("--print_config", "print every key and its value as YAML, and exit"),
        ("", ""),
    ]
    for chosen in (config.method, config.encoder, config.image_encoder, config.dataset):
        parser.further_rows += [] if chosen is None else [*chosen.help_rows(), ("", "")]
    probe = config.probe or PROBE.parse({"every": 10}, [], None)
    assert probe is not None
    parser.further_rows += probe.help_rows()
    return parser.format_help()


def _take(words: Sequence[str], flag: str) -> tuple[list[str], list[str]]:
    """Values of a flag, and the words without it."""
    values, left = [], []
    following = iter(words)
    for word in following:
        name, equals, value = word.partition("=")
        if name != flag:
            left.append(word)
            continue
        found = value if equals else next(following, None)
        if found is None:
            raise ValueError(f"found no value after {flag}, expected a file")
        values.append(found)
    return values, left


def _finished(run: Path) -> JsonObject:
    """The configuration of a finished run, which is to go on beside it."""
    path = run / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"found no {CONFIG} in {run}, expected the folder of a finished run: check its name")
    return {**_read_yaml(path), "out": f"{run}-extended"}


def _read_yaml(path: Path) -> JsonObject:
    return read_yaml(path, dict[str, Any], "a configuration in YAML")


def _merged(first: JsonObject, second: JsonObject) -> JsonObject:
    """Two trees, of which the second decides."""
    both = dict(first)
    for key, value in second.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
