"""Protocols: how good is an encoder, measured so that the figure can be had again."""

if __name__ != "crosspoint.eval":
    raise ImportError("found the folder `eval` imported by its bare name, expected: import crosspoint.eval")


from crosspoint.eval.features import extract_features
from crosspoint.eval.probe import probe_hold_out
from crosspoint.eval.protocols.few_shot import few_shot, few_shot_table
from crosspoint.eval.protocols.knn import knn_classify
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.eval.protocols.retrieval import retrieve_across, retrieve_within
from crosspoint.eval.results import Result

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
