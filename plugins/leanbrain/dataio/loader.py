"""A training loader that resumes in mid-epoch and leaves global seeds alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from leanbrain.checks import UserError

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

    SpeechBrain would wrap the batch sampler once more for distributed runs
    and draw the workers' seed from the global generator, which shifts every
    later random number of a resumed run. This loader does neither.

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
    distributed = dist.is_available() and dist.is_initialized()
    ranks = dist.get_world_size() if distributed else 1
    rank = dist.get_rank() if distributed else 0
    if (sampler.rank, sampler.world_size) != (rank, ranks):
        raise UserError(
            f"The sampler must be built with rank={rank} and world_size="
            f"{ranks}, as this process runs, got rank={sampler.rank} and "
            f"world_size={sampler.world_size}."
        )
    from speechbrain.dataio.batch import PaddedBatch
    from speechbrain.dataio.dataloader import SaveableDataLoader

    loader = SaveableDataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=PaddedBatch,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(sampler.seed),
    )
    brain.train_sampler = sampler
    if brain.checkpointer is not None:
        brain.checkpointer.add_recoverable("dataloader-TRAIN", loader)
    return loader
