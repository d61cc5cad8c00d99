"""Predictions of trained networks: classes and parts of objects; classes, objects and boxes of LiDAR frames."""

from crosspoint.eval.prediction.predictor import Prediction, Predictor
from crosspoint.eval.prediction.run import predict

__all__ = ["Prediction", "Predictor", "predict"]
