"""Packaging of LeanBrain; the settings of the tools are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

REQUIRED = [
    # torchaudio ends at 2.11 and must be of torch's minor version. Metadata
    # cannot say "the same", so leanbrain compares the two on import.
    "torch>=2.7.1,<2.12",
    # 2.11.1 asks for torch 2.11, but uses a symbol that torch 2.11.0 lacks.
    "torchaudio>=2.7.1,<=2.11.0",
    # What this suite plugs into: Brain, Checkpointer, samplers, layers.
    "speechbrain>=1.1.2,<1.2",
    # Every recipe is built from YAML.
    "hyperpyyaml",
    # The charts of pruning and training.
    "tensorboard",
    # The overlap matrix and the plots of the reports.
    "matplotlib",
    # Reads and writes audio files.
    "soundfile",
    # Progress bars with the time left.
    "tqdm",
    # Figures and audio on their way from and to tensors.
    "numpy",
    # The t distribution of the optimizer benchmark's intervals.
    "scipy",
    # Workers of one experiment claim their trials with it.
    "filelock",
]

OPTIMIZERS = ["schedulefree>=1.4,<2", "pytorch-optimizer>=4.1,<5"]
CLUSTER = ["submitit>=1.5,<2"]
# SpeechBrain's Whisper lobe calls the decoder in a way that ends with 5.40;
# before 5, encoder layers answer with a tuple.
WHISPER = ["transformers>=5,<5.40"]

EXTRAS = {
    # GPL: used by the demo's synthesis only, never a part of the package.
    # One version: the corpus is to be the same everywhere.
    "demo": ["espeakng-loader==0.2.4"],
    # The rivals of `make bench-nmf`; nothing else needs them.
    "bench": ["scikit-learn>=1.5", "torchnmf>=0.3.5", "threadpoolctl>=3.1"],
    # Optimizers that torch has not: hparams/optimizers names them.
    "optimizers": OPTIMIZERS,
    # Fine-tuning Whisper: recipes/MultilingualPrompts/ASR/Whisper.
    "whisper": WHISPER,
    # Trials as jobs of a SLURM cluster.
    "cluster": CLUSTER,
    # What `make check` runs. Linters are pinned: a new release must not turn
    # an unchanged tree red. The same versions stand in the pre-commit file.
    "dev": [
        *OPTIMIZERS,
        *CLUSTER,
        # Also layers of wav2vec 2.0, HuBERT and WavLM, built small.
        *WHISPER,
        "codespell==2.3.0",
        # 6.131 and later ask every loaded module for its file, on which the
        # lazy modules of SpeechBrain raise ImportError.
        "hypothesis>=6.100,<6.131",
        "mypy==2.4.1",
        "pre-commit>=4,<5",
        # 8.2 is the first to import doctest modules under their real names.
        "pytest>=8.2,<10",
        "pytest-cov>=5,<8",
        "pytest-xdist>=3.6,<4",  # all cores: the suite is long
        "ruff==0.12.4",
        # A test builds the wheel; torch does not accept 82.
        "setuptools>=70.1,<82",
        "types-PyYAML",
        "yamllint==1.35.1",
    ],
}


def read_version() -> str:
    """Reads the version without importing the package, which needs torch."""
    init = HERE / "plugins" / "leanbrain" / "__init__.py"
    for line in init.read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError(f"no __version__ in {init}")


setup(
    name="leanbrain",
    version=read_version(),
    description="Pruned models, an optimizer benchmark and NMF features for "
    "SpeechBrain",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=[
        "speechbrain",
        "speech recognition",
        "multilingual",
        "pruning",
        "sparsity",
        "optimizers",
        "benchmark",
        "NMF",
    ],
    project_urls={"SpeechBrain": "https://speechbrain.github.io"},
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    package_dir={"": "plugins"},
    packages=find_packages("plugins"),
    # In the repository leanbrain/hparams is a link to the folder at its top.
    package_data={"leanbrain": ["py.typed", "hparams/**/*.yaml"]},
    entry_points={"console_scripts": ["leanbrain=leanbrain.__main__:main"]},
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
