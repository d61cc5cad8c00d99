from __future__ import annotations

import pytest

from crosspoint.plugins import import_path


def test_short_names_classes_and_import_paths() -> None:
    assert import_path("encoder", "DGCNN") == "crosspoint.models.dgcnn.DGCNN"
    assert import_path("encoder", "dgcnn") == "crosspoint.models.dgcnn.DGCNN"
    assert import_path("encoder", "mine.Net") == "mine.Net"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dgcn", "did you mean dgcnn"),
        (18446744073709551616, "found 18446744073709551616 as the class of encoder"),
        (["dgcnn"], "expected a short name or an import path"),
    ],
)
def test_other_names_are_refused(name: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_path("encoder", name)  # type: ignore[arg-type]
