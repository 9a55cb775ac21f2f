"""The network of Spectuner-D1 (Qiu et al.), in the format of its public checkpoint: read it and draw from it."""
