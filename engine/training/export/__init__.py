"""Export: a trained network as a look (ONNX), and a look as TorchScript."""
