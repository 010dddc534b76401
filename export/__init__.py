"""From a checkpoint to small, checked bundles that run anywhere: ONNX and GGUF."""
