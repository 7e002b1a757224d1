"""The published method in PyTorch, to be timed beside ours; it alone needs ``pip install '.[torch]'``.

Written by us from the names and shapes of the published checkpoints and checked against the numbers that the published
code gave; as there, float32 and pictures as [b, c, h, w].
"""
