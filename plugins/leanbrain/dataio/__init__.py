"""Manifests, audio, language-homogeneous batches and the synthetic corpus.

Import the modules directly (``leanbrain.dataio.manifests`` and so on): this
file imports nothing, so that reading a manifest does not wait for the rest.
"""
