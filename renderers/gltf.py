"""glTF 2.0 (https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html), rewritten into what trimesh reads right.

What becomes plain: transformed and quantized texture coordinates (KHR_texture_transform, KHR_mesh_quantization), the
set of coordinates that a texture names, sparse and normalized numbers, triangle fans, and colors, which glTF keeps
linear and images and this toolkit keep in sRGB.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import struct
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import Image

from crosspoint.renderers.appearance import TINT
from crosspoint.renderers.companions import Companions
from crosspoint.renderers.files import short
from crosspoint.renderers.json_object import JsonObject

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SHAPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
MOST_ZEROS = 2**16  # entries of an accessor without data, which stands for zeros
DRACO = "KHR_draco_mesh_compression"
# What may be required of a reader without changing shapes: looks, lights, and geometry that is read here.
HARMLESS = (
    *("KHR_materials_", "KHR_texture_", "KHR_lights_", "KHR_xmp", "KHR_animation_", "EXT_texture_", "MSFT_texture_"),
    *(DRACO, "KHR_mesh_quantization"),
)


def plain_gltf(content: bytes, files: Companions) -> bytes:
    """A GLB of a .glb or .gltf file.

    Raises:
        ValueError: if the file is cut off, of version 1, or needs a decoder that is absent.
    """
    name = files.file_name
    tree, binary = _parts(content, name)
    version = str(tree.get("asset", {}).get("version", "2.0"))
    if version.split(".")[0] != "2":
        raise ValueError(f"found glTF {version} in {name}, expected 2.0: convert it, for example with Blender")
    _decoders(tree, name)
    model = _Model(tree, _buffers(tree, binary, files), name)
    for material in tree.get("materials", []):
        factor = material.get("pbrMetallicRoughness", {}).get("baseColorFactor")
        if factor is not None:
            factor[:3] = srgb(np.array(factor[:3])).tolist()
        gloss = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {}).get("diffuseFactor")
        if gloss is not None:
            gloss[:3] = srgb(np.array(gloss[:3])).tolist()
    for mesh in tree.get("meshes", []):
        for primitive in mesh.get("primitives", []):
            if DRACO not in primitive.get("extensions", {}):
                model.flatten(primitive)
    _images(tree, model, files)
    return model.glb()


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear intensities in [0, 1] → sRGB in [0, 1] (IEC 61966-2-1)."""
    linear = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


class _Model:
    """The tree, and all of its buffers in one."""

    def __init__(self, tree: JsonObject, buffers: list[bytes], name: str) -> None:
        self.tree, self.name = tree, name
        starts, joined = [], bytearray()
        for buffer in buffers:
            starts.append(len(joined))
            joined += buffer + b"\0" * (-len(buffer) % 4)
        for view in tree.get("bufferViews", []):
            place = view.get("byteOffset", 0) + view["byteLength"]
            if place > len(buffers[view.get("buffer", 0)]):
                raise ValueError(
                    f"found {len(buffers[view.get('buffer', 0)])} bytes of data in {name} (glTF), expected at least "
                    f"{place}: the file is cut off, fetch or export it again"
                )
            view["byteOffset"] = view.get("byteOffset", 0) + starts[view.get("buffer", 0)]
            view["buffer"] = 0
        self.data = joined
        for number, accessor in enumerate(tree.get("accessors", [])):
            if not 0 <= accessor["count"] <= max(len(joined), MOST_ZEROS):
                raise ValueError(
                    f"found accessor {number} of {name} (glTF) with {short(accessor['count'])} entries, expected no "
                    f"more than its {len(joined)} bytes of data hold: the file is damaged, fetch or export it again"
                )

    def glb(self) -> bytes:
        """The file."""
        self.tree["buffers"] = [{"byteLength": len(self.data)}]
        head = json.dumps(self.tree).encode()
        head += b" " * (-len(head) % 4)
        size = 12 + 8 + len(head) + 8 + len(self.data)
        parts = [struct.pack("<4sII", b"glTF", 2, size), struct.pack("<I4s", len(head), b"JSON"), head]
        return b"".join([*parts, struct.pack("<I4s", len(self.data), b"BIN\0"), bytes(self.data)])

    def view(self, index: int) -> bytes:
        """Bytes of a buffer view."""
        view = self.tree["bufferViews"][index]
        return bytes(self.data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])

    def numbers(self, index: int) -> np.ndarray:
        """Values (n, columns) of an accessor: normalized ones as float, sparse ones filled in."""
        accessor = self.tree["accessors"][index]
        kind, columns, count = np.dtype(TYPES[accessor["componentType"]]), SHAPES[accessor["type"]], accessor["count"]
        values = np.zeros((count, columns), dtype=kind)
        if "bufferView" in accessor:
            view = self.tree["bufferViews"][accessor["bufferView"]]
            raw = self.view(accessor["bufferView"])
            stride = view.get("byteStride") or kind.itemsize * columns
            start = accessor.get("byteOffset", 0)
            if count and start + stride * (count - 1) + kind.itemsize * columns > len(raw):
                raise ValueError(f"found an accessor of {self.name} (glTF) beyond its data, expected {count} entries")
            values = np.ndarray((count, columns), kind, raw, start, (stride, kind.itemsize)).copy()
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            where = np.frombuffer(
                self.view(sparse["indices"]["bufferView"]),
                TYPES[sparse["indices"]["componentType"]], sparse["count"], sparse["indices"].get("byteOffset", 0),
            )  # fmt: skip
            new = np.frombuffer(
                self.view(sparse["values"]["bufferView"]),
                kind, sparse["count"] * columns, sparse["values"].get("byteOffset", 0),
            )  # fmt: skip
            values[where] = new.reshape(-1, columns)
        if accessor.get("normalized") and kind.kind in "iu":
            return np.maximum(values.astype(np.float64) / np.iinfo(kind).max, -1.0)
        return values

    def add(self, values: np.ndarray, component: int, shape: str) -> int:
        """A new accessor."""
        raw = np.ascontiguousarray(values, dtype=TYPES[component]).tobytes()
        self.tree.setdefault("bufferViews", []).append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)}
        )
        self.data += raw + b"\0" * (-len(raw) % 4)
        self.tree["accessors"].append(
            {
                "bufferView": len(self.tree["bufferViews"]) - 1,
                "componentType": component,
                "count": len(values),
                "type": shape,
            }
        )
        return len(self.tree["accessors"]) - 1

    def flatten(self, primitive: JsonObject) -> None:
        """Rewrite one primitive."""
        attributes = primitive["attributes"]
        place = self.tree["accessors"][attributes["POSITION"]] if "POSITION" in attributes else {}
        if place.get("normalized") or "sparse" in place or (place.get("componentType") != 5126 and place):
            attributes["POSITION"] = self.add(self.numbers(attributes["POSITION"]), 5126, "VEC3")
        if "indices" in primitive and "sparse" in self.tree["accessors"][primitive["indices"]]:
            primitive["indices"] = self.add(self.numbers(primitive["indices"]), 5125, "SCALAR")
        if primitive.get("mode", 4) == 6 and place:
            count = place["count"]
            order = self.numbers(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(count)
            fans = np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
            primitive["indices"], primitive["mode"] = self.add(fans.reshape(-1), 5125, "SCALAR"), 4
        if "COLOR_0" in attributes:
            tint = self.numbers(attributes.pop("COLOR_0"))[:, :3]
            if tint.dtype.kind in "iu":  # whole numbers are normalized by the specification, whatever the file says
                tint = tint / np.iinfo(tint.dtype).max
            attributes[TINT] = self.add(srgb(tint), 5126, "VEC3")
        self._coordinates(primitive)

    def _coordinates(self, primitive: JsonObject) -> None:
        """TEXCOORD_0 as the base color's texture wants it."""
        attributes = primitive["attributes"]
        info = self._texture(primitive)
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        chosen = transform.get("texCoord", info.get("texCoord", 0))
        source = attributes.get(f"TEXCOORD_{chosen}", attributes.get("TEXCOORD_0"))
        if source is None:
            return
        uv = self.numbers(source)[:, :2].astype(np.float64)
        scale, offset = transform.get("scale", [1.0, 1.0]), transform.get("offset", [0.0, 0.0])
        sine, cosine = np.sin(transform.get("rotation", 0.0)), np.cos(transform.get("rotation", 0.0))
        u, v = uv[:, 0] * scale[0], uv[:, 1] * scale[1]
        # Counterclockwise as one sees it: v points down.
        moved = np.stack([cosine * u + sine * v + offset[0], cosine * v - sine * u + offset[1]], axis=1)
        attributes["TEXCOORD_0"] = self.add(moved, 5126, "VEC2")

    def _texture(self, primitive: JsonObject) -> JsonObject:
        if "material" not in primitive:
            return {}
        material = self.tree["materials"][primitive["material"]]
        gloss = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
        found: JsonObject = material.get("pbrMetallicRoughness", {}).get("baseColorTexture") or gloss.get(
            "diffuseTexture"
        )
        return found or {}


def _parts(content: bytes, name: str) -> tuple[JsonObject, bytes | None]:
    """Tree and binary chunk of a GLB, or tree of a .gltf."""
    if not content.startswith(b"glTF"):
        try:
            tree = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"found no JSON in {name} (glTF: {error}), expected a glTF file") from None
        if not isinstance(tree, dict) or "asset" not in tree:
            raise ValueError(f"found JSON without an asset in {name}, expected a glTF file")
        return tree, None
    if len(content) < 20:
        raise ValueError(f"found {len(content)} bytes in {name} (GLB), expected a header: the file is cut off")
    version, size, length = struct.unpack("<III", content[4:16])
    if version != 2:
        raise ValueError(f"found glTF {version} in {name}, expected 2: convert it, for example with Blender")
    if size > len(content):
        raise ValueError(
            f"found {len(content)} bytes in {name} (GLB), expected {size} by its header: the file is "
            "cut off, fetch it again"
        )
    try:
        tree = json.loads(content[20 : 20 + length])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"found damaged JSON in {name} (GLB: {error}), expected a glTF header") from None
    place = 20 + length
    while place + 8 <= size:
        length, kind = struct.unpack("<I4s", content[place : place + 8])
        if kind == b"BIN\0":
            return tree, content[place + 8 : place + 8 + length]
        place += 8 + length
    return tree, None


def _buffers(tree: JsonObject, binary: bytes | None, files: Companions) -> list[bytes]:
    buffers = []
    for number, buffer in enumerate(tree.get("buffers", [])):
        uri = buffer.get("uri")
        if uri is None:
            if binary is None or number > 0:
                raise ValueError(f"found no data of buffer {number} in {files.file_name} (glTF), expected some")
            buffers.append(binary)
        elif uri.startswith("data:"):
            buffers.append(_data_uri(uri))
        else:
            found = files.find(uri)
            if found is None:
                raise ValueError(
                    f"found no {uri}, which {files.file_name} (glTF) keeps its geometry in, expected it: fetch it, too"
                )
            buffers.append(found.read_bytes())
    return buffers


def _data_uri(uri: str) -> bytes:
    head, _, data = uri.partition(",")
    return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)


def _decoders(tree: JsonObject, name: str) -> None:
    """Refuse what needs a decoder that is not there."""
    accessors = tree.get("accessors", [])
    primitives = [primitive for mesh in tree.get("meshes", []) for primitive in mesh.get("primitives", [])]
    packed = [
        primitive
        for primitive in primitives
        if DRACO in primitive.get("extensions", {})
        and "bufferView" not in accessors[primitive["attributes"].get("POSITION", 0)]
    ]
    if packed and importlib.util.find_spec("DracoPy") is None:
        raise ValueError(
            f"found geometry compressed with Draco ({DRACO}) in {name}, expected its decoder: pip install DracoPy, "
            "or export without compression"
        )
    for extension in tree.get("extensionsRequired", []):
        if not str(extension).startswith(HARMLESS):
            raise ValueError(f"found {extension} required by {name} (glTF), expected plain geometry: export without it")


def _images(tree: JsonObject, model: _Model, files: Companions) -> None:
    """Note the images that cannot be read."""
    for number, image in enumerate(tree.get("images", [])):
        uri = image.get("uri", "")
        try:
            if "bufferView" in image:
                content = model.view(image["bufferView"])
            else:
                content = _data_uri(uri) if uri.startswith("data:") else files.get(uri)
            Image.open(io.BytesIO(content)).load()
        except (OSError, SyntaxError, ValueError, KeyError, IndexError, Image.DecompressionBombError):
            named: Any = image.get("name") or (uri if uri and not uri.startswith("data:") else f"image {number}")
            files.miss(str(named))
            # An image that breaks off would stop the whole mesh when its pixels are asked for.
            tree["images"][number] = {"uri": f"image {number} that cannot be read"}
