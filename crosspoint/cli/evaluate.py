"""`crosspoint evaluate`: an encoder measured by a protocol, or several by several."""

from __future__ import annotations

from collections.abc import Sequence

from crosspoint.cli.log import quieten_lightning
from crosspoint.cli.parser import Parser, described


def run(arguments: Sequence[str]) -> int:
    """The command."""
    from crosspoint.eval.commands import PROTOCOLS, call, subject

    quieten_lightning()
    parser = Parser(prog="crosspoint evaluate", description="Measure an encoder.")
    protocols = parser.add_subcommands(required=True, dest="protocol")
    for name, function in PROTOCOLS.items():
        one = Parser(description=described(function))
        one.add_argument("--config", action="config", help="YAML file of the keys below")
        parameter, measured = subject(name)
        one.add_class_arguments(measured)
        one.add_function_arguments(function, skip={parameter})
        protocols.add_subcommand(name, one)
    chosen = parser.instantiate(parser.read(arguments))
    values = vars(chosen[chosen.protocol])
    return call(chosen.protocol, {key: value for key, value in values.items() if key != "config"})
