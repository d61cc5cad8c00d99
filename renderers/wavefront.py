"""Wavefront OBJ and MTL, rewritten into the dialect that trimesh reads right.

The formats: http://paulbourke.net/dataformats/obj/ and http://paulbourke.net/dataformats/mtl/.
"""

from __future__ import annotations

import io
import re

from PIL import Image
from trimesh.util import decode_text

from crosspoint.renderers.companions import Companions

MATERIALS = "materials of the mesh.mtl"  # the one library that the rewritten text names
UV_KEY = "crosspoint_uv"  # of a material: scale and offset of its texture, which trimesh does not know

OPTIONS = {"-s": 3, "-o": 3, "-t": 3, "-mm": 2}  # most numbers an option takes; others take one word


class Wavefront(Companions):
    """The companions of an OBJ, whose material libraries are joined and rewritten when trimesh asks for them."""

    libraries: list[str]

    def get(self, key: str) -> bytes:
        """Content of a file, see `Companions.get`."""
        if key != MATERIALS:
            return super().get(key)
        parts = []
        for name in self.libraries:
            found = self.find(name) or self.find(self.file_name.rpartition(".")[0] + ".mtl")
            if found is None:
                self.miss(name)
            else:
                parts.append(plain_materials(str(decode_text(found.read_bytes())), self))
        return "\n".join(parts).encode()


def plain_objects(content: bytes, files: Wavefront) -> bytes:
    """An OBJ with spaces between fields, absolute indices and at most one material library.

    Raises:
        ValueError: if a face uses a vertex that is not there, or the last line is cut.
    """
    text = str(decode_text(content)).replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ")
    if "\t" in text or re.search(r"^ +\S", text, re.MULTILINE):
        text = "\n".join(line.strip().replace("\t", " ") for line in text.split("\n"))
    lines = text.split("\n")
    files.libraries = []
    counts = {"v": 0, "vt": 0, "vn": 0}
    for number, line in enumerate(lines):
        head = line[:2]
        if head == "v ":
            counts["v"] += 1
        elif head in ("vt", "vn"):
            counts[head] += 1
        elif head == "f ":
            lines[number] = _face(line, counts, number + 1, files.file_name)
        elif head.lower() == "mt" and line.lower().startswith("mtllib "):
            files.libraries += _libraries(line[7:].strip(), files)
            lines[number] = ""
        elif head == "#" or head.startswith("#"):
            lines[number] = ""  # trimesh takes the word mtllib in a comment for the statement
    _whole(lines, counts["v"], files.file_name)
    if files.libraries:
        lines.insert(0, f"mtllib {MATERIALS}")
    return "\n".join(lines).encode()


def _face(line: str, counts: dict[str, int], number: int, name: str) -> str:
    """A face with absolute indices: a negative one counts back from the last vertex *before* the face."""
    if "-" not in line:
        return line
    corners = line.split("#")[0].split()[1:]
    absolute = []
    for corner in corners:
        indices = []
        for kind, index in zip(("v", "vt", "vn"), corner.split("/"), strict=False):
            if index.startswith("-"):
                place = counts[kind] + 1 + int(index)
                if place < 1:
                    raise ValueError(
                        f"found index {index} in line {number} of {name} (OBJ), expected one of the {counts[kind]} "
                        f"entries of {kind} before it: the file is damaged, export it again"
                    )
                index = str(place)
            indices.append(index)
        absolute.append("/".join(indices))
    return "f " + " ".join(absolute)


def _whole(lines: list[str], vertices: int, name: str) -> None:
    """Refuse faces of vertices that are absent, and faces of fewer than three."""
    for number, line in enumerate(lines):
        if not line.startswith("f "):
            continue
        try:
            indices = [int(corner.partition("/")[0]) for corner in line.partition("#")[0].split()[1:]]
        except ValueError:
            raise ValueError(f"found {line!r} in line {number + 1} of {name} (OBJ), expected a face") from None
        if indices and max(indices) > vertices:
            raise ValueError(
                f"found vertex {max(indices)} in line {number + 1} of {name} (OBJ), expected 1…{vertices}: "
                "the file is damaged or cut off, fetch or export it again"
            )
        if len(indices) < 3:
            last = not any(line.strip() for line in lines[number + 1 :])
            if last:
                raise ValueError(
                    f"found a face of {len(indices)} corners at the end of {name} (OBJ, line {number + 1}), expected "
                    "3 or more: the file is cut off, fetch or export it again"
                )
            lines[number] = ""  # a line or a point, which has no surface


def _libraries(names: str, files: Companions) -> list[str]:
    """The libraries of a mtllib line: one name, which may have spaces, or several."""
    if files.find(names) is not None or len(re.findall(r"\.mtl", names, re.IGNORECASE)) < 2:
        return [names]
    return [name.strip() for name in re.findall(r".+?\.mtl(?=\s|$)", names, re.IGNORECASE)]


def plain_materials(text: str, files: Companions) -> str:
    """A library whose maps are bare names of images that can be read; without Kd 0 beside one that cannot."""
    kept: list[str] = []
    black: list[int] = []  # lines of this material, left out if its texture is lost
    lost = False
    for line in [*text.splitlines(), "newmtl"]:
        words = line.split()
        key = words[0].lower() if words else ""
        if key == "newmtl":
            if lost:
                for number in black:
                    kept[number] = ""
            black, lost = [], False
            kept.append(" ".join(["newmtl", *words[1:]]) if len(words) > 1 else "")
        elif key == "kd":
            if all(re.fullmatch(r"0*\.?0*", word) for word in words[1:]):
                black.append(len(kept))
            kept.append(" ".join(words))
        elif key == "map_kd":
            name, scale, offset = texture_of(line.strip()[len(key) :].strip())
            found = files.find(name) if name else None
            if found is None or not is_image(found.read_bytes()):
                files.miss(name or "map_Kd without a name")
                lost = True
                continue
            kept.append(f"map_Kd {name}")
            if scale != (1.0, 1.0) or offset != (0.0, 0.0):
                kept.append(f"{UV_KEY} {scale[0]} {scale[1]} {offset[0]} {offset[1]}")
        else:
            kept.append(" ".join(words))
    return "\n".join(kept)


def texture_of(statement: str) -> tuple[str, tuple[float, float], tuple[float, float]]:
    """Name, scale and offset of a map statement, whose options come before the name, which may have spaces."""
    numbers = {"-s": (1.0, 1.0), "-o": (0.0, 0.0)}
    rest = statement
    while match := re.match(r"(-[a-zA-Z]+)\s+", rest):
        option = match[1].lower()
        rest = rest[match.end() :]
        taken: list[str] = []
        while len(taken) < OPTIONS.get(option, 1):
            word = re.match(r"\S+\s+", rest)
            if word is None or (option in OPTIONS and not _is_number(word[0])):
                break
            taken.append(word[0])
            rest = rest[word.end() :]
        if option in numbers and taken:
            values = [float(word) for word in taken]
            numbers[option] = (values[0], values[1] if len(values) > 1 else numbers[option][1])
    return rest.strip(), numbers["-s"], numbers["-o"]


def is_image(content: bytes) -> bool:
    """Whether Pillow can read an image to its end."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
