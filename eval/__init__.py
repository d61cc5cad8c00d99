"""Protocols: how good an encoder is, measured so that the figure can be had again. This page is the public API."""

from importlib import import_module
from typing import TYPE_CHECKING

if __name__ != "crosspoint.eval":
    raise ImportError("found the folder `eval` imported by its bare name, expected: import crosspoint.eval")

from crosspoint.eval.features import extract_features
from crosspoint.eval.results import Result

if TYPE_CHECKING:
    from crosspoint.eval.evaluation_data import EvaluationData
    from crosspoint.eval.evaluation_run import EvaluationRun
    from crosspoint.eval.image_target import ImageTarget
    from crosspoint.eval.panoptic.panoptic_segmentation import panoptic_segmentation
    from crosspoint.eval.prediction import predict
    from crosspoint.eval.probe import probe_hold_out
    from crosspoint.eval.protocols.few_shot import few_shot, few_shot_table
    from crosspoint.eval.protocols.knn import knn_classify
    from crosspoint.eval.protocols.linear_svm import linear_svm
    from crosspoint.eval.protocols.named import named_protocols
    from crosspoint.eval.protocols.pointbert_folds import folds_svm
    from crosspoint.eval.protocols.protocol import Column, Protocol, evaluate
    from crosspoint.eval.protocols.retrieval import retrieve_across, retrieve_within
    from crosspoint.eval.report.report_model import Contribution
    from crosspoint.eval.study.config import StudyConfig
    from crosspoint.eval.study.study import report_study
    from crosspoint.eval.supervised.classification import fine_tune
    from crosspoint.eval.supervised.config import FinetuneConfig
    from crosspoint.eval.supervised.depth_estimation import depth_estimation
    from crosspoint.eval.supervised.detection import detection
    from crosspoint.eval.supervised.part_segmentation import segment_parts
    from crosspoint.eval.supervised.pointbert_folds import folds_finetune
    from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
    from crosspoint.eval.supervised.trained_network import load_network
    from crosspoint.eval.targets import CloudTarget, EncoderTarget, FrameTarget

# Where each name is defined. They are imported when they are first asked for: scikit-learn and Lightning take seconds.
_MODULES = {
    "CloudTarget": "targets",
    "Column": "protocols.protocol",
    "Contribution": "report.report_model",
    "EncoderTarget": "targets",
    "EvaluationData": "evaluation_data",
    "EvaluationRun": "evaluation_run",
    "FinetuneConfig": "supervised.config",
    "FrameTarget": "targets",
    "ImageTarget": "image_target",
    "Protocol": "protocols.protocol",
    "StudyConfig": "study.config",
    "depth_estimation": "supervised.depth_estimation",
    "detection": "supervised.detection",
    "evaluate": "protocols.protocol",
    "few_shot": "protocols.few_shot",
    "few_shot_table": "protocols.few_shot",
    "fine_tune": "supervised.classification",
    "folds_finetune": "supervised.pointbert_folds",
    "folds_svm": "protocols.pointbert_folds",
    "knn_classify": "protocols.knn",
    "linear_svm": "protocols.linear_svm",
    "load_network": "supervised.trained_network",
    "named_protocols": "protocols.named",
    "panoptic_segmentation": "panoptic.panoptic_segmentation",
    "predict": "prediction",
    "probe_hold_out": "probe",
    "report_study": "study.study",
    "retrieve_across": "protocols.retrieval",
    "retrieve_within": "protocols.retrieval",
    "segment_parts": "supervised.part_segmentation",
    "semantic_segmentation": "supervised.semantic_segmentation",
}

__all__ = [
    "CloudTarget",
    "Column",
    "Contribution",
    "EncoderTarget",
    "EvaluationData",
    "EvaluationRun",
    "FinetuneConfig",
    "FrameTarget",
    "ImageTarget",
    "Protocol",
    "Result",
    "StudyConfig",
    "depth_estimation",
    "detection",
    "evaluate",
    "extract_features",
    "few_shot",
    "few_shot_table",
    "fine_tune",
    "folds_finetune",
    "folds_svm",
    "knn_classify",
    "linear_svm",
    "load_network",
    "named_protocols",
    "panoptic_segmentation",
    "predict",
    "probe_hold_out",
    "report_study",
    "retrieve_across",
    "retrieve_within",
    "segment_parts",
    "semantic_segmentation",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(f"crosspoint.eval.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
