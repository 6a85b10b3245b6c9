"""LibriSpeech as a workload sees it: loaders, their order, a digest."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from librispeech_batches import EndlessBatches, rank_and_size, share_evenly
from librispeech_prepare import (
    SAMPLE_RATE,
    find_root,
    prepare_librispeech,
    read_rows,
)
from librispeech_tokenizer import BLANK, load_tokenizer, train_tokenizer
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main

from leanbrain.checks import UserError, check_int
from leanbrain.dataio.audio import load_audio
from leanbrain.files import read_json


class LibriSpeechData:
    """The data of a workload; nothing is read before it is asked for.

    The first use prepares what is missing, on the main rank only.

    Arguments
    ---------
    data_folder : path | None
        Holds LibriSpeech/, or is that folder; None (until it is set) makes
        every use an error.
    folders : Mapping
        "train", "valid", "test" -> names of official folders. The first of
        "train" is what the sentence pieces are trained on.
    batch_size, eval_batch_size : int
        Utterances of all ranks together, in training and outside.
    seed : int
        Alone decides on the order of training.
    vocabulary : int
        Sentence pieces.
    max_s, max_characters : number
        Utterances that are longer, as sound or as text, are left out: in
        training, validation and test, as AlgoPerf does.
    prepared_folder : path | None
        For manifests and sentence pieces; None is `leanbrain` in
        `data_folder`.
    workers : int
        Processes of a loader.
    """

    def __init__(
        self,
        data_folder: str | os.PathLike[str] | None,
        folders: Mapping[str, Sequence[str]],
        batch_size: int,
        eval_batch_size: int,
        seed: int,
        vocabulary: int,
        max_s: float,
        max_characters: int,
        prepared_folder: str | os.PathLike[str] | None = None,
        workers: int = 0,
    ) -> None:
        self.data_folder = data_folder
        self.folders = {key: list(names) for key, names in folders.items()}
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self.eval_batch_size = check_int(
            "eval_batch_size", eval_batch_size, low=1
        )
        self.seed = check_int("seed", seed, low=0)
        self.vocabulary = check_int("vocabulary", vocabulary, low=4)
        self.limits = {"max_s": max_s, "max_characters": max_characters}
        self.prepared_folder = prepared_folder
        self.workers = check_int("data_workers", workers, low=0)

    def train_loader(self) -> torch.utils.data.DataLoader:
        """This rank's share of endless training batches."""
        dataset = self._dataset("train")
        batches = EndlessBatches(
            len(dataset), self.batch_size, self.seed, *rank_and_size()
        )
        return self._loader(dataset, batches)

    def valid_loader(self) -> torch.utils.data.DataLoader:
        """This rank's share of the validation batches, long ones first."""
        return self._evaluation_loader("valid")

    def test_loader(self) -> torch.utils.data.DataLoader:
        """This rank's share of the test batches, long ones first."""
        return self._evaluation_loader("test")

    def expected_order(self, n: int) -> list[list[str]]:
        """IDs of the first n training batches of this rank."""
        ids = list(self._rows("train"))
        batches = EndlessBatches(
            len(ids), self.batch_size, self.seed, *rank_and_size()
        )
        return [
            [ids[i] for i in batch] for batch in itertools.islice(batches, n)
        ]

    @cached_property
    def digest(self) -> str:
        """16 digits of a hash of all that the data are made of."""
        names = sorted({n for names in self.folders.values() for n in names})
        described = json.dumps([self.folders, self.limits], sort_keys=True)
        hashed = hashlib.sha256(described.encode())
        for path in (
            *(self.prepared / f"{n}.csv" for n in names),
            self.tokenizer_file,
        ):
            hashed.update(path.read_bytes())
        for name in names:
            note = read_json(self.prepared / f"{name}.json")
            hashed.update(note["audio"].encode())
        return hashed.hexdigest()[:16]

    @cached_property
    def tokenizer(self) -> Any:
        """The sentence pieces; `decode(ids)` gives text."""
        return load_tokenizer(self.tokenizer_file, self.vocabulary)

    @property
    def tokenizer_file(self) -> Path:
        """Where the sentence pieces are."""
        return self.prepared / f"unigram_{self.vocabulary}.model"

    @cached_property
    def prepared(self) -> Path:
        """Folder of what was prepared; prepares it at the first use."""
        if self.data_folder is None:
            raise UserError(
                "`data_folder` must be a folder that holds LibriSpeech "
                "(this workload has no synthetic data), got None."
            )
        given = self.prepared_folder
        folder = Path(given or Path(self.data_folder) / "leanbrain")
        run_on_main(self._prepare, [folder])
        return folder

    def _prepare(self, folder: Path) -> None:
        """Writes manifests and sentence pieces that are missing."""
        wanted = dict.fromkeys(itertools.chain(*self.folders.values()))
        prepare_librispeech(self.data_folder, folder, list(wanted))
        path = folder / f"unigram_{self.vocabulary}.model"
        if not path.is_file():
            # AlgoPerf: train-clean-100, at most ten million characters.
            rows = read_rows(
                folder, "/", self.folders["train"][:1], np.inf, 10**9
            )
            texts = [row["wrd"] for row in rows.values()]
            train_tokenizer(texts, path, self.vocabulary)

    def _rows(self, split: str) -> dict[str, dict[str, Any]]:
        """Utterances of a split by ID."""
        names = [n for group in self.folders.values() for n in group]
        return read_rows(
            self.prepared,
            find_root(self.data_folder, names),
            self.folders[split],
            **self.limits,
        )

    def _dataset(self, split: str) -> DynamicItemDataset:
        """Utterances as samples and pieces; </s> ends them, as in AlgoPerf."""
        tokenizer = self.tokenizer

        def audio(path: str) -> torch.Tensor:
            return load_audio(path, SAMPLE_RATE)

        def tokens(words: str) -> torch.Tensor:
            ids = tokenizer.encode(words, add_eos=True)
            # A letter that the pieces lack has the number of the blank,
            # which CTC allows in no target.
            return torch.tensor([i for i in ids if i != BLANK])

        dataset = DynamicItemDataset(self._rows(split))
        dataset.add_dynamic_item(audio, "wav", "sig")
        dataset.add_dynamic_item(tokens, "wrd", "tokens")
        dataset.set_output_keys(["id", "sig", "tokens", "wrd"])
        return dataset

    def _evaluation_loader(self, split: str) -> torch.utils.data.DataLoader:
        """Long ones first, so that a batch is of similar lengths."""
        dataset = self._dataset(split)
        seconds = [row["duration"] for row in dataset.data.values()]
        order = sorted(range(len(seconds)), key=lambda i: -seconds[i])
        batches = share_evenly(order, self.eval_batch_size, *rank_and_size())
        return self._loader(dataset, batches)

    def _loader(
        self, dataset: DynamicItemDataset, batches: Any
    ) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=PaddedBatch,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            # Own generator: a loader draws a seed for its workers, which
            # would move the random numbers of the training.
            generator=torch.Generator().manual_seed(self.seed),
        )
