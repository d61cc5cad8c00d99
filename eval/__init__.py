"""Frozen-feature protocols: how good is an encoder, measured so that the figure can be had again."""

from eval.features import extract_features
from eval.fewshot import few_shot
from eval.linear import linear_svm
from eval.probe import probe_hold_out
from eval.results import Result

__all__ = ["Result", "extract_features", "few_shot", "linear_svm", "probe_hold_out"]
