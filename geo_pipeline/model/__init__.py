"""The network and how it answers: what training and evaluation share.

Here live the backbones and heads, the test crops, checkpoints, the combination over crops and hierarchy, and
predictions. Not here: learning (geo_pipeline.training) and judging answers (geo_pipeline.evaluation). The one idea: a
checkpoint alone is enough to place a photo. Importing this package imports no torch; its modules do.
"""
