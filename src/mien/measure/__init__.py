"""Models measured, honestly: the ONNX file that ships, through the classifier that users run."""
