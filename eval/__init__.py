"""Protocols: how good is an encoder, measured so that the figure can be had again."""

from eval.features import extract_features
from eval.fewshot import few_shot, few_shot_table
from eval.knn import knn_classify
from eval.linear import linear_svm
from eval.probe import probe_hold_out
from eval.results import Result
from eval.retrieval import retrieve_across, retrieve_within

__all__ = [
    "Result",
    "extract_features",
    "few_shot",
    "few_shot_table",
    "knn_classify",
    "linear_svm",
    "probe_hold_out",
    "retrieve_across",
    "retrieve_within",
]
