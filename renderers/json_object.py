"""The type of what a JSON or YAML file holds: names and plain values, nested."""

from typing import Any

JsonObject = dict[str, Any]
