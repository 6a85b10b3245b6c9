"""A training loader that resumes in mid-epoch and leaves global seeds alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from leanbrain.dataio.epochs import check_ranks

if TYPE_CHECKING:
    import speechbrain as sb
    from speechbrain.dataio.dataloader import SaveableDataLoader

    from leanbrain.dataio.sampler import LanguageBatchSampler

__all__ = ["make_train_loader"]


def make_train_loader(
    brain: sb.Brain,
    dataset: Any,
    sampler: LanguageBatchSampler,
    num_workers: int = 0,
) -> SaveableDataLoader:
    """Builds the training loader of a Brain from a language batch sampler.

    SpeechBrain would draw the workers' seed from the global generator, which
    shifts every later random number of a resumed run. Here the seed depends
    on the sampler's and the epoch alone.

    Arguments
    ---------
    brain : sb.Brain
        Gets the sampler (for ``set_epoch``) and, if it has a checkpointer,
        the loader as recoverable "dataloader-TRAIN".
    dataset : DynamicItemDataset
        Training utterances, in the sampler's order.
    sampler : LanguageBatchSampler
        Already built for this rank.
    num_workers : int
        Loader processes; 0 loads in the training process.

    Returns
    -------
    SaveableDataLoader
        To be passed to ``brain.fit``.

    Raises
    ------
    UserError
        If the sampler was built for another rank or number of ranks.
    """
    check_ranks(sampler, shared_out=False)
    from speechbrain.dataio.batch import PaddedBatch
    from speechbrain.dataio.dataloader import SaveableDataLoader

    loader = SaveableDataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=PaddedBatch,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(sampler.seed),
    )
    # The sampler seeds it anew with each epoch.
    sampler.generator = loader.generator
    brain.train_sampler = sampler
    if brain.checkpointer is not None:
        brain.checkpointer.add_recoverable("dataloader-TRAIN", loader)
    return loader
