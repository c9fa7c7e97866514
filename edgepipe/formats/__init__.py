"""Files for runtimes other than ONNX Runtime: written from the ONNX artifact, int8 kept int8, compared in their own."""
