"""Small models of SpeechBrain's families, under the names of its recipes.

Each builder returns the modules of a recipe and a pass through them as its
`compute_forward` makes it in training.
"""

import torch
from speechbrain.lobes.models import (
    ECAPA_TDNN,
    RNNLM,
    DiffWave,
    FastSpeech2,
    HifiGAN,
    MetricGAN,
    Tacotron2,
    Xvector,
    conv_tasnet,
    dual_path,
    wav2vec,
)
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.g2p.model import AttentionSeq2Seq
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.lobes.models.transformer.TransformerLM import TransformerLM
from speechbrain.lobes.models.transformer.TransformerSE import CNNTransformerSE
from speechbrain.lobes.models.VanillaNN import VanillaNN
from speechbrain.nnet.embedding import Embedding
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.RNN import GRU, LSTM, AttentionalRNNDecoder
from speechbrain.nnet.transducer.transducer_joint import Transducer_joint
from torch import nn

__all__ = ["FAMILIES"]

TOKENS = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])


def tacotron2():
    model = Tacotron2.Tacotron2(
        n_mel_channels=8,
        n_symbols=10,
        symbols_embedding_dim=8,
        encoder_embedding_dim=8,
        attention_rnn_dim=8,
        decoder_rnn_dim=8,
        prenet_dim=8,
        attention_dim=8,
        attention_location_n_filters=4,
        postnet_embedding_dim=8,
        postnet_n_convolutions=3,
    )
    lengths = torch.tensor([4, 4]), torch.tensor([6, 6])
    mels = torch.randn(2, 8, 6)

    def run(modules):
        inputs = TOKENS, lengths[0], mels, 4, lengths[1]
        return modules["model"](inputs, alignments_dim=6)

    return {"model": model}, run


def fastspeech2():
    model = FastSpeech2.FastSpeech2(
        *(1, 2, 8, 8, 8, 8, 0.0),
        *(1, 2, 8, 8, 8, 8, 0.0),
        normalize_before=False,
        ffn_type="1dcnn",
        ffn_cnn_kernel_size_list=[3, 1],
        n_char=10,
        n_mels=6,
        postnet_embedding_dim=8,
        postnet_kernel_size=3,
        postnet_n_convolutions=3,
        postnet_dropout=0.0,
        padding_idx=0,
        dur_pred_kernel_size=3,
        pitch_pred_kernel_size=3,
        energy_pred_kernel_size=3,
        variance_predictor_dropout=0.0,
    )
    durations = torch.ones(2, 4, dtype=torch.long)

    def run(modules):
        values = torch.randn(2, 4), torch.randn(2, 4)
        return modules["model"](TOKENS, durations, *values)

    return {"model": model}, run


def hifigan():
    generator = HifiGAN.HifiganGenerator(
        8, 1, "1", [[1, 3, 5], [1, 3, 5]], [3, 5], [8, 4], 16, [4, 2]
    )
    # As HifiganDiscriminator, whose sizes are fixed and large.
    discriminator = nn.ModuleDict(
        {"convs": nn.Conv1d(1, 4, 3), "conv_post": nn.Conv1d(4, 1, 3)}
    )

    def run(modules):
        wave = modules["generator"](torch.randn(2, 8, 8))
        judge = modules["discriminator"]
        return judge["conv_post"](torch.relu(judge["convs"](wave)))

    return {"generator": generator, "discriminator": discriminator}, run


def diffwave():
    model = DiffWave.DiffWave(8, 2, 8, 2, 10)

    def run(modules):
        noisy, mels = torch.randn(2, 1, 512), torch.randn(2, 8, 2)
        return modules["diffwave"](noisy, torch.tensor([3, 5]), mels)

    return {"diffwave": model}, run


def metricgan():
    # Its layers behind the LSTM are of fixed sizes.
    generator = MetricGAN.EnhancementGenerator(257, 200, num_layers=1)
    discriminator = MetricGAN.MetricDiscriminator(base_channels=3)

    def run(modules):
        spectrum = torch.rand(2, 40, 257)
        mask = modules["generator"](spectrum, torch.ones(2))
        pair = torch.stack([mask * spectrum, spectrum], 1)
        return modules["discriminator"](pair)

    return {"generator": generator, "discriminator": discriminator}, run


def spectral_mask():
    model = CNNTransformerSE(8, 17, nhead=2, num_layers=1, d_ffn=8)

    def run(modules):
        return modules["model"](torch.rand(2, 5, 8))

    return {"model": model}, run


def _separation(masknet):
    modules = {
        "encoder": dual_path.Encoder(kernel_size=4, out_channels=8),
        "decoder": dual_path.Decoder(
            in_channels=8, out_channels=1, kernel_size=4, stride=2, bias=False
        ),
        "masknet": masknet,
    }

    def run(modules):
        mixture = modules["encoder"](torch.randn(2, 200))
        masks = modules["masknet"](mixture)
        return [modules["decoder"](mixture * mask) for mask in masks]

    return modules, run


def sepformer():
    blocks = [dual_path.SBTransformerBlock(1, 8, 2, 8) for _ in range(2)]
    return _separation(dual_path.Dual_Path_Model(8, 8, *blocks, K=10))


def dprnn():
    blocks = [dual_path.SBRNNBlock(8, 8, 1) for _ in range(2)]
    return _separation(dual_path.Dual_Path_Model(8, 8, *blocks, K=10))


def convtasnet():
    return _separation(conv_tasnet.MaskNet(8, 8, 8, 3, 2, 1, 2))


def rnnlm():
    model = RNNLM.RNNLM(10, 8, rnn_neurons=8, dnn_neurons=8)
    return {"model": model}, lambda modules: modules["model"](TOKENS)


def transformer_lm():
    model = TransformerLM(10, 8, 2, 1, 0, 8)
    return {"model": model}, lambda modules: modules["model"](TOKENS)


def wav2vec_pretraining():
    modules = {
        "latent_extractor": nn.Sequential(nn.Linear(8, 8), nn.GELU()),
        "latent_encoder": nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
        "feat_proj": nn.Linear(8, 6),
        "target_quantiser": wav2vec.W2VTargetQuantiser(8, 6, num_vars=5),
    }

    def run(modules):
        latents = modules["latent_extractor"](torch.randn(2, 5, 8))
        context = modules["feat_proj"](modules["latent_encoder"](latents))
        return context, modules["target_quantiser"](latents)

    return modules, run


def best_rq():
    modules = {
        "wrapper": nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
        "linear": Linear(n_neurons=16, input_size=8),
    }

    def run(modules):
        return modules["linear"](modules["wrapper"](torch.randn(2, 5, 8)))

    return modules, run


def ctc():
    modules = {
        "CNN": ConvolutionFrontEnd(
            (2, 8, 8),
            1,
            1,
            [4],
            strides=[2],
            kernel_sizes=[3],
            residuals=[False],
        ),
        "encoder": VanillaNN((2, 4, 16), dnn_neurons=8),
        "ctc_lin": Linear(n_neurons=5, input_size=8),
    }

    def run(modules):
        frames = modules["CNN"](torch.randn(2, 8, 8)).flatten(2)
        return modules["ctc_lin"](modules["encoder"](frames))

    return modules, run


def seq2seq():
    modules = {
        "enc": LSTM(8, [2, 5, 8]),
        "emb": Embedding(10, embedding_dim=8),
        "dec": AttentionalRNNDecoder(
            "gru", "location", 8, 8, 1, 8, 8, channels=2, kernel_size=3
        ),
        "ctc_lin": Linear(n_neurons=5, input_size=8),
        "seq_lin": Linear(n_neurons=5, input_size=8),
    }

    def run(modules):
        encoded = modules["enc"](torch.randn(2, 5, 8))[0]
        embedded = modules["emb"](TOKENS)
        decoded = modules["dec"](embedded, encoded, torch.ones(2))[0]
        return modules["ctc_lin"](encoded), modules["seq_lin"](decoded)

    return modules, run


def conformer():
    modules = {
        "Transformer": TransformerASR(
            10,
            8,
            8,
            2,
            1,
            1,
            8,
            encoder_module="conformer",
            attention_type="RelPosMHAXL",
            kernel_size=3,
            normalize_before=True,
            causal=False,
        ),
        "seq_lin": Linear(n_neurons=10, input_size=8),
        "ctc_lin": Linear(n_neurons=10, input_size=8),
    }

    def run(modules):
        encoded, decoded = modules["Transformer"](
            torch.randn(2, 5, 8), TOKENS, torch.ones(2)
        )
        return modules["ctc_lin"](encoded), modules["seq_lin"](decoded)

    return modules, run


def transducer():
    modules = {
        "enc": LSTM(8, [2, 5, 8]),
        "enc_lin": Linear(n_neurons=6, input_size=8),
        "emb": Embedding(10, embedding_dim=8),
        "dec": GRU(8, [2, 4, 8]),
        "dec_lin": Linear(n_neurons=6, input_size=8),
        "Tjoint": Transducer_joint(),
        "output": Linear(n_neurons=10, input_size=6),
    }

    def run(modules):
        heard = modules["enc_lin"](modules["enc"](torch.randn(2, 5, 8))[0])
        said = modules["dec_lin"](modules["dec"](modules["emb"](TOKENS))[0])
        pair = heard.unsqueeze(2), said.unsqueeze(1)
        return modules["output"](modules["Tjoint"](*pair))

    return modules, run


def _speakers(model, classifier):
    modules = {"embedding_model": model, "classifier": classifier}

    def run(modules):
        return modules["classifier"](
            modules["embedding_model"](torch.randn(2, 20, 8))
        )

    return modules, run


def ecapa():
    model = ECAPA_TDNN.ECAPA_TDNN(
        8,
        lin_neurons=6,
        channels=[8, 8, 8, 8, 24],
        attention_channels=4,
        se_channels=4,
        res2net_scale=2,
    )
    return _speakers(model, ECAPA_TDNN.Classifier(6, out_neurons=4))


def xvector():
    model = Xvector.Xvector(
        tdnn_channels=[8, 8, 8, 8, 8], lin_neurons=6, in_channels=8
    )
    classifier = Xvector.Classifier((2, 1, 6), lin_neurons=6, out_neurons=4)
    return _speakers(model, classifier)


def slu():
    modules = {
        "slu_enc": LSTM(8, [2, 5, 8]),
        "output_emb": Embedding(10, embedding_dim=8),
        "dec": AttentionalRNNDecoder("gru", "content", 8, 8, 1, 8, 8),
        "seq_lin": Linear(n_neurons=5, input_size=8),
    }

    def run(modules):
        encoded = modules["slu_enc"](torch.randn(2, 5, 8))[0]
        embedded = modules["output_emb"](TOKENS)
        decoded = modules["dec"](embedded, encoded, torch.ones(2))[0]
        return modules["seq_lin"](decoded)

    return modules, run


def g2p():
    modules = {
        "model": AttentionSeq2Seq(
            enc=LSTM(8, [2, 4, 8]),
            encoder_emb=Embedding(10, embedding_dim=8),
            emb=Embedding(10, embedding_dim=8),
            dec=AttentionalRNNDecoder("gru", "content", 8, 8, 1, 8, 8),
            lin=Linear(n_neurons=5, input_size=8),
            out=nn.LogSoftmax(-1),
        ),
        "ctc_lin": Linear(n_neurons=5, input_size=8),
    }

    def run(modules):
        ones = torch.ones(2)
        said, _, encoded, *_ = modules["model"](
            grapheme_encoded=(TOKENS, ones), phn_encoded=(TOKENS, ones)
        )
        return said, modules["ctc_lin"](encoded)

    return modules, run


# Builder -> what is left dense of its trained matrices: patterns of names.
FAMILIES = {
    ctc: ["ctc_lin.w.weight"],
    seq2seq: ["ctc_lin.w.weight", "seq_lin.w.weight"],
    conformer: ["ctc_lin.w.weight", "seq_lin.w.weight"],
    transducer: ["output.w.weight"],
    tacotron2: [
        "model.decoder.linear_projection.linear_layer.weight",
        "model.postnet.convolutions.2.0.conv.weight",
    ],
    fastspeech2: ["model.linear.w.weight", "model.postnet.conv_post.*"],
    hifigan: ["generator.conv_post.*", "discriminator.*"],
    diffwave: [],
    metricgan: ["generator.linear2.weight", "discriminator.*"],
    spectral_mask: ["model.output_layer.w.weight"],
    sepformer: ["decoder.weight"],
    dprnn: ["decoder.weight"],
    convtasnet: ["decoder.weight"],
    rnnlm: ["model.out.w.weight"],
    transformer_lm: ["model.output_proj.layers.2.w.weight"],
    wav2vec_pretraining: [
        "feat_proj.weight",
        "target_quantiser.quantiser.vars",
        "target_quantiser.proj.weight",
    ],
    best_rq: ["linear.w.weight"],
    ecapa: ["classifier.weight"],
    xvector: ["classifier.out.w.weight"],
    slu: ["seq_lin.w.weight"],
    g2p: ["model.lin.w.weight", "ctc_lin.w.weight"],
}
