"""Non-negative matrix factorisation of speech: solvers, features, denoising."""

from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.encoding import encode
from leanbrain.nmf.enhance import NMFEnhance
from leanbrain.nmf.factorization import nmf
from leanbrain.nmf.features import NMFFeatures
from leanbrain.nmf.info import Info

__all__ = [
    "Info",
    "NMFDictionary",
    "NMFEnhance",
    "NMFFeatures",
    "encode",
    "nmf",
]
