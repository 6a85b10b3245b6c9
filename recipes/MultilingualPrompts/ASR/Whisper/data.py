"""The texts of the recipe as tokens, and its batches of one language."""

import random

import speechbrain as sb
import torch
from lobe import LONGEST_S, SAMPLE_RATE
from speech import make_datasets
from texts import normalise

from leanbrain.checks import UserError, check_int
from leanbrain.dataio.sampler import evaluation_batches


def dataio_prepare(whisper, tables):
    """A dataset for each split, whose texts are tokens.

    Arguments
    ---------
    whisper : ShortWhisper
        With the tokenizer.
    tables : dict
        Split -> checked rows of its manifest.

    Returns
    -------
    dict
        Split -> DynamicItemDataset.
    """
    check_tables(whisper, tables)

    @sb.utils.data_pipeline.takes("wrd", "lang")
    @sb.utils.data_pipeline.provides("tokens")
    def text_pipeline(wrd, lang):
        """Prefix, text and end."""
        return torch.LongTensor(tokens_of(whisper, wrd, lang))

    return make_datasets(
        tables,
        SAMPLE_RATE,
        [text_pipeline],
        ["id", "sig", "tokens", "wrd", "lang"],
    )


def tokens_of(whisper, wrd, lang):
    """The tokens of a text: prefix, text, end."""
    text = whisper.tokenizer.encode(f" {wrd}", add_special_tokens=False)
    return [*whisper.prefix(lang), *text, whisper.eos]


def check_tables(whisper, tables):
    """Refuses what Whisper cannot hear at once, or not write."""
    longest = whisper.window_s or LONGEST_S
    most = whisper.model.config.max_target_positions
    for split, table in tables.items():
        for lang in {row["lang"] for row in table.values()}:
            whisper.prefix(lang)
        long = [x for x in table.values() if x["duration"] > longest]
        if long:
            raise UserError(
                f"Every utterance must last at most {longest:g} s, which "
                f"Whisper hears at once (cut longer ones), got "
                f"{long[0]['duration']:g} s at ID {long[0]['ID']!r} in "
                f"{split}.csv and {len(long) - 1} more."
            )
        if split != "train":
            check_references(split, table)
        for row in table.values():
            # No text has more tokens than bytes: most need not be split.
            if len(row["wrd"].encode()) < most // 2:
                continue
            tokens = len(tokens_of(whisper, row["wrd"], row["lang"]))
            if tokens > most:
                raise UserError(
                    f"`wrd` must have at most {most} tokens with the prefix, "
                    f"got {tokens} at ID {row['ID']!r} in {split}.csv."
                )


def check_references(split, table):
    """Refuses texts that no error can be counted against."""
    for row in table.values():
        if not normalise(row["wrd"]):
            raise UserError(
                f"`wrd` must have a letter or a digit, got {row['wrd']!r} at "
                f"ID {row['ID']!r} in {split}.csv."
            )


def some_of(table, count, seed):
    """A table with at most so many utterances of each language.

    Arguments
    ---------
    table : dict
        ID -> row.
    count : int or None
        None keeps all.
    seed : int
        Of the choice.
    """
    if count is None:
        return table
    check_int("valid_utterances", count, low=1)
    kept = set()
    for lang in sorted({row["lang"] for row in table.values()}):
        names = sorted(k for k, row in table.items() if row["lang"] == lang)
        chosen = random.Random(seed).sample(names, min(count, len(names)))
        kept.update(chosen)
    return {name: row for name, row in table.items() if name in kept}


def evaluation_loader(whisper, dataset, table, max_batch_s):
    """Every utterance once; batches of one language and one window."""
    rows = list(table.values())
    windows = [whisper.window_of(row["duration"]) for row in rows]
    # One window a batch: results do not depend on what is batched together.
    groups = [
        f"{row['lang']} {window:09.3f}"
        for row, window in zip(rows, windows, strict=True)
    ]
    batches = evaluation_batches(windows, groups, max_batch_s)
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)
