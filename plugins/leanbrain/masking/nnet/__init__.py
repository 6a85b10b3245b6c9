"""Layers that run each utterance of a batch through its own pathway.

They stand where SpeechBrain's stood, with the same arguments, parameters and
results; `leanbrain.masking.router.PathwayRouter` gives them masks.
"""
