"""Boxes of classes: the task, its measures, and the layouts of detectors' outputs."""
