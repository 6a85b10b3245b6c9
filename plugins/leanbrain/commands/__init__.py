"""What `leanbrain <command>` can do, a module each.

Each has `add_arguments(parser)` and `main(options) -> int`. They import torch
and SpeechBrain inside of functions, so that `leanbrain --help` is fast.
"""
