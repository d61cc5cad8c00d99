"""What trained networks say of own data: classes and parts of objects; classes, objects and boxes of LiDAR frames."""

from crosspoint.eval.prediction.answers import Answer, Teller
from crosspoint.eval.prediction.run import predict

__all__ = ["Answer", "Teller", "predict"]
