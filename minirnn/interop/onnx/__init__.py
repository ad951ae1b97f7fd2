"""ONNX: recurrent networks in and out, and a backend for the tests of ONNX."""
