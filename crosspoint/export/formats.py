"""Formats of an exported encoder: the bytes of a file, and how a runtime runs them.

A format is a function from a pre-trained encoder to `Content`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from crosspoint.checkpoints.record import RECORD_KEY, Record
from crosspoint.export.tracing import CloudNetwork, Graph, quiet, trace

Run = Callable[[np.ndarray], list[np.ndarray]]  # clouds (B, N, 3) float32 → outputs in their order
OUTPUTS = ("features", "point_features")
INPUT = "points"


@dataclass(frozen=True)
class Content:
    """An exported encoder in memory.

    Args:
        content: bytes of the file.
        least: points that a cloud needs.
        run: opens the bytes in their runtime, and gives what runs them.
    """

    content: bytes
    least: int
    run: Callable[[], Run]


class Format(NamedTuple):
    """A kind of file: how its name ends, and what makes it."""

    suffix: str
    make: Callable[[CloudNetwork, Record], Content]


def onnx(network: CloudNetwork, record: Record) -> Content:
    """ONNX by torch's exporter, with the record under "crosspoint" in the metadata.

    Raises:
        ImportError: if onnx or onnxscript is not installed.
        ValueError: if no graph can be made of the network.
    """
    require_onnx("onnx", "onnxscript")
    graph = trace(network, record.inputs)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.program, (), dynamo=True, input_names=[INPUT], output_names=_outputs(network), verbose=False
        )
    assert program is not None
    model = program.model_proto
    _name_sizes(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = RECORD_KEY, json.dumps(record.as_dict())
    content: bytes = model.SerializeToString()
    return Content(content, graph.least, lambda: _onnxruntime(content))


def torch_export(network: CloudNetwork, record: Record) -> Content:
    """A program of torch.export, which `torch.export.load` reads without this package; the record lies beside it.

    Raises:
        ValueError: if no graph can be made of the network.
    """
    graph: Graph = trace(network, record.inputs)
    file = io.BytesIO()
    with quiet():
        torch.export.save(graph.program, file, extra_files={f"{RECORD_KEY}.json": json.dumps(record.as_dict())})
    content = file.getvalue()
    return Content(content, graph.least, lambda: _torch_program(content))


FORMATS = {"onnx": Format(".onnx", onnx), "torch-export": Format(".pt2", torch_export)}


def require_onnx(*modules: str) -> None:
    """Raise ImportError in one line if a package of the extra `onnx` is not installed."""
    for module in modules:
        try:
            __import__(module)
        except ImportError as error:
            raise ImportError(
                f"found no {module} ({error}), expected it for ONNX: pip install 'crosspoint3d[onnx]'"
            ) from error


def _outputs(network: CloudNetwork) -> list[str]:
    return [*OUTPUTS] if network.per_point else [OUTPUTS[0]]


def _name_sizes(model: Any) -> None:
    """Call the open sizes what they are, in place of the exporter's own symbols."""
    graph = model.graph
    clouds, points, _ = (size.dim_param for size in graph.input[0].type.tensor_type.shape.dim)
    names = {clouds: "clouds", points: "points"}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]


def _onnxruntime(content: bytes) -> Run:
    require_onnx("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda clouds: session.run(None, {INPUT: clouds})


def _torch_program(content: bytes) -> Run:
    with quiet():
        module = torch.export.load(io.BytesIO(content)).module()

    def run(clouds: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(clouds))]

    return run
