"""The families of recipes, each with what makes one of its recipes small.

Overrides are the recipe's own command line: sizes, the sample data, and no
download. None is about pruning.
"""

from dataclasses import dataclass

from tiny_models import TOKENS

__all__ = ["FAMILIES", "WITHOUT_DATA", "Family"]

CSV = "tests/samples/annotation/ASR_train.csv"
JSON = "tests/samples/annotation/ASR_train.json"
WAVS = "--data_folder=tests/samples/ASR"

LIBRISPEECH = (
    WAVS,
    f"--train_csv={CSV}",
    f"--valid_csv={CSV}",
    f"--test_csv=[{CSV}]",
    "--skip_prep=True",
)
TIMIT = (
    WAVS,
    f"--train_annotation={JSON}",
    f"--valid_annotation={JSON}",
    f"--test_annotation={JSON}",
    "--skip_prep=True",
    "--batch_size=4",
)
CRDNN = (
    "--cnn_channels=(4, 4)",
    "--rnn_layers=1",
    "--rnn_neurons=16",
    "--dnn_neurons=16",
)
NO_BATCHING = ("--dynamic_batching=False", "--num_workers=0", "--batch_size=1")
NOISE = (
    "--data_folder_noise=tests/samples/noise",
    "--NOISE_DATASET_URL=tests/samples/noise/noise1.wav",
)
BEAM = "--test_beam_search={beam_size: 2}"
SPEAKERS = (
    WAVS,
    f"--train_annotation={CSV}",
    f"--valid_annotation={CSV}",
    "--verification_file=tests/samples/annotation/verification.txt",
    "--data_folder_rir=tests/samples/RIRs",
    "--RIR_DATASET_URL=tests/samples/RIRs/rir1.wav",
    *NOISE,
    "--skip_prep=True",
    "--sentence_len=0.5",
    "--num_workers=0",
    "--batch_size=1",  # augmentation makes five of each
)


@dataclass(frozen=True)
class Family:
    """A family and the recipe that stands for it.

    Arguments
    ---------
    name : str
        Of the family.
    folder, train, hparams : str
        Of the recipe: `recipes/<folder>/<train>.py` with
        `recipes/<folder>/hparams/<hparams>.yaml`.
    overrides : tuple of str
        As on the recipe's command line.
    launcher : str
        What stands for `-m leanbrain`: a script beside this one, or nothing.
    """

    name: str
    folder: str
    train: str
    hparams: str
    overrides: tuple[str, ...]
    launcher: str = ""

    @property
    def script(self) -> str:
        """The script's path in the clone."""
        return f"recipes/{self.folder}/{self.train}.py"

    @property
    def yaml(self) -> str:
        """The YAML's path in the clone."""
        return f"recipes/{self.folder}/hparams/{self.hparams}.yaml"


def _wav2vec(name: str, model: str) -> Family:
    return Family(
        name,
        "LibriSpeech/ASR/CTC",
        "train_with_wav2vec",
        "train_hf_wav2vec",
        (
            *LIBRISPEECH,
            "--batch_size=1",
            f"--wav2vec2_hub=tiny/{model}",
            "--freeze_wav2vec=False",
            "--output_neurons=21",
            "--enc={input_shape: [null, null, 16]}",
            "--dnn_neurons=32",
            BEAM,
        ),
    )


FAMILIES = (
    Family(
        "CRDNN seq2seq",
        "TIMIT/ASR/seq2seq",
        "train",
        "train",
        (*TIMIT, *CRDNN, "--output_neurons=47", "--dec_neurons=16"),
    ),
    Family(
        "Conformer CTC/attention",
        "LibriSpeech/ASR/transformer",
        "train",
        "conformer_small",
        (
            *LIBRISPEECH,
            *NO_BATCHING,
            "--pretrained_lm_tokenizer_path=tiny/lm",
            "--lm_model={d_model: 16, nhead: 2, num_encoder_layers: 1, "
            "d_ffn: 16}",
            f"--output_neurons={TOKENS}",
            "--d_model=32",
            "--nhead=2",
            "--num_encoder_layers=2",
            "--num_decoder_layers=1",
            "--d_ffn=32",
            "--test_beam_size=2",
        ),
    ),
    Family(
        "Branchformer CTC",
        "LibriSpeech/ASR/CTC",
        "train",
        "branchformer_large",
        (
            *LIBRISPEECH,
            *NO_BATCHING,
            "--output_neurons=21",
            "--d_model=32",
            "--nhead=2",
            "--num_encoder_layers=2",
            "--csgu_linear_units=32",
            "--beam_size=2",
        ),
    ),
    Family(
        "transducer",
        "TIMIT/ASR/transducer",
        "train",
        "train",
        (
            *TIMIT,
            *CRDNN,
            *NOISE,
            "--output_neurons=43",
            "--dec_neurons=16",
            "--beam_size=1",
            "--num_workers=0",
        ),
        "cpu_transducer.py",
    ),
    _wav2vec("wav2vec2 fine-tuning", "wav2vec2"),
    _wav2vec("HuBERT fine-tuning", "hubert"),
    _wav2vec("WavLM fine-tuning", "wavlm"),
    Family(
        "Whisper encoder fine-tuning",
        "LibriSpeech/ASR/CTC",
        "train_with_whisper",
        "train_hf_whisper_encoder",
        (
            *LIBRISPEECH,
            "--batch_size=1",
            "--whisper_hub=tiny/whisper",
            "--whisper_output_dim=16",
            "--output_neurons=21",
            "--dnn_neurons=32",
            "--warmup_steps=1",
            "--num_workers=0",
            BEAM,
        ),
    ),
    Family(
        "Whisper fine-tuning",
        "LibriSpeech/ASR/transformer",
        "train_with_whisper",
        "train_hf_whisper",
        (
            *LIBRISPEECH,
            "--batch_size=1",
            "--test_batch_size=1",
            "--whisper_hub=tiny/whisper",
            "--freeze_encoder=False",
            "--precision=fp32",
            "--eval_precision=fp32",
            "--test_beam_size=2",
            "--max_decode_ratio=0.05",
        ),
    ),
    Family(
        "x-vector",
        "VoxCeleb/SpeakerRec",
        "train_speaker_embeddings",
        "train_x_vectors",
        (*SPEAKERS, "--emb_dim=16"),
    ),
    Family(
        "ECAPA-TDNN",
        "VoxCeleb/SpeakerRec",
        "train_speaker_embeddings",
        "train_ecapa_tdnn",
        (
            *SPEAKERS,
            "--embedding_model={channels: [16, 16, 16, 16, 48], "
            "attention_channels: 16}",
        ),
    ),
)

# Of which the clone has no recordings: their pages are checked, their scripts
# are not run.
WITHOUT_DATA = (
    Family(
        "Tacotron 2",
        "LJSpeech/TTS/tacotron2",
        "train",
        "train",
        (
            "--symbols_embedding_dim=16",
            "--encoder_embedding_dim=16",
            "--decoder_rnn_dim=16",
            "--prenet_dim=16",
            "--attention_rnn_dim=16",
            "--attention_dim=16",
            "--postnet_embedding_dim=16",
        ),
    ),
    Family(
        "spectral mask",
        "Voicebank/enhance/spectral_mask",
        "train",
        "train",
        (
            "--models={base_channels: 64, num_blocks: 1, nhead: 2, "
            "intermediate_size: 16}",
        ),
    ),
    Family(
        "SepFormer",
        "WSJ0Mix/separation",
        "train",
        "sepformer",
        (
            "--N_encoder_out=16",
            "--out_channels=16",
            "--SBtfintra={num_layers: 1, d_ffn: 16}",
            "--SBtfinter={num_layers: 1, d_ffn: 16}",
        ),
    ),
    Family(
        "TransformerLM",
        "LibriSpeech/LM",
        "train",
        "transformer",
        (
            "--output_neurons=50",
            "--d_model=24",
            "--model={num_encoder_layers: 2, d_ffn: 16}",
        ),
    ),
    Family(
        "wav2vec 2.0 pretraining",
        "LibriSpeech/self-supervised-learning/wav2vec2",
        "train_sb_wav2vec2",
        "wav2vec2_base",
        (
            "--embedding_dim=16",
            "--extractor_dim=16",
            "--final_dim=8",
            "--encoder={num_layers: 1, d_ffn: 16}",
        ),
    ),
)
