"""A registered model as a folder of ONNX networks that inspects where there is no torch."""
