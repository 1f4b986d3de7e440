"""Tiny random audio models of transformers, saved as their makers save them."""

import torch

FRAMES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}


def ast(transformers):
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, max_length=64,
        num_mel_bins=32, id2label={0: "dog", 1: "rain", 2: "bell"}, label2id={"dog": 0, "rain": 1, "bell": 2},
    )  # fmt: skip
    return transformers.ASTForAudioClassification(config), transformers.ASTFeatureExtractor(
        num_mel_bins=32, max_length=64, mean=-4.0, std=4.0
    )


def wav2vec2(transformers):
    config = transformers.Wav2Vec2Config(**FRAMES, feat_extract_norm="layer", num_labels=4)
    return transformers.Wav2Vec2ForSequenceClassification(config), transformers.Wav2Vec2FeatureExtractor(
        return_attention_mask=True
    )


def hubert(transformers):
    config = transformers.HubertConfig(**FRAMES, feat_extract_norm="layer", do_stable_layer_norm=True)
    return transformers.HubertModel(config), transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def clap(transformers):
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    audio = {
        "window_size": 4, "num_mel_bins": 32, "spec_size": 128, "patch_size": 4, "patch_stride": (4, 4),
        "patch_embeds_hidden_size": 8, "depths": (2, 2), "num_attention_heads": (2, 2), "hidden_size": 16,
        "num_hidden_layers": 2, "enable_fusion": True,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config={**text, "vocab_size": 20}, audio_config=audio, projection_dim=6)
    return transformers.ClapModel(config), transformers.ClapFeatureExtractor(
        feature_size=32, sampling_rate=16000, hop_length=160, max_length_s=1, fft_window_size=400, frequency_max=8000,
        truncation="fusion",
    )  # fmt: skip


MODELS = {"ast": ast, "wav2vec2": wav2vec2, "hubert": hubert, "clap": clap}


def save(transformers, name, folder):
    """Saves a model with its feature extractor; gives it in evaluation mode and the extractor."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, extractor = MODELS[name](transformers)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return model.eval(), extractor
