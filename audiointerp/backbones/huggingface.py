"""Audio models of transformers as backbones: AST, wav2vec 2.0 and its kin, CLAP's audio tower."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audiointerp.backbones.module import BUILT, ModuleBackbone
from audiointerp.study import UserError

FRAME_S = 0.010
DEFAULT_S = 1.0


def transformers() -> Any:
    """Imports transformers.

    Raises:
        UserError: If it is not installed; says how to.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError("backbone=huggingface needs transformers: pip install 'audiointerp[huggingface]'") from error
    return transformers


class FeatureExtractor:
    """A model's own feature extractor as a function of waveforms.

    Args:
        extractor: A transformers feature extractor.
    """

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor

    def __call__(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Turns waveforms `(B, L)` into the model's input, `(B, L)`, `(B, T, F)` or `(B, C, T, F)`.

        Args:
            waveforms: At the extractor's rate; what lies behind `lengths` is cut off and padded as the model expects.
            lengths: Samples of each that are sound, `(B,)`; None for all.
        """
        rows = waveforms.detach().cpu().numpy()
        ends = [rows.shape[1]] * len(rows) if lengths is None else lengths.tolist()
        before = np.random.get_state()  # CLAP's draws one clip that it calls longer; here none is
        try:
            found = self.extractor(
                [row[:end] for row, end in zip(rows, ends, strict=True)],
                sampling_rate=self.extractor.sampling_rate,
                padding=True,
                return_tensors="pt",
            )
        finally:
            np.random.set_state(before)
        return found[self.extractor.model_input_names[0]].to(waveforms.device, torch.float32)


class Tower(nn.Module):
    """A transformers audio model that gives `(B, K)`: logits, a projected or pooled embedding, or means over frames.

    Args:
        model: The model.
        masked: Whether it wants to be told which samples are padding.
    """

    def __init__(self, model: nn.Module, masked: bool) -> None:
        super().__init__()
        self.model, self.masked = model, masked

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Turns features into `(B, K)`; `lengths` are samples of sound, `(B,)`, for models that hear waveforms."""
        given: dict[str, Any] = {}
        if lengths is not None and self.masked:
            positions = torch.arange(features.shape[-1], device=features.device)
            given["attention_mask"] = (positions < lengths.to(features.device)[:, None]).long()
        if self.model.config.model_type.startswith("clap"):
            given["is_longer"] = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        found = self.model(features, **given)
        for name in ("logits", "audio_embeds", "pooler_output"):
            if getattr(found, name, None) is not None:
                return getattr(found, name)
        hidden = found.last_hidden_state
        if "attention_mask" not in given:
            return hidden.mean(1)
        heard = self.model._get_feature_vector_attention_mask(hidden.shape[1], given["attention_mask"])
        weights = heard.to(hidden.dtype)[..., None]
        return (hidden * weights).sum(1) / weights.sum(1)


class HuggingFace(ModuleBackbone):
    """An audio model of transformers, its blocks as layers.

    Layers are the convolutions `conv1` ... of models that hear waveforms, and `block1` ..., the transformer's blocks,
    of CLAP's audio tower the stages, each as in `hidden_states` of transformers. The output is the classifier's logits
    where the model has one, else the embedding: CLAP's projection, AST's pooled tokens, the mean over frames of
    wav2vec 2.0 and its kin.

    Args:
        model: Name on the hub, or a folder that `save_pretrained` wrote (model and feature extractor).
        layers: `blockN`, `convN`, or names of submodules as for `ModuleBackbone` (`model.` before them); None for all.
        weights: `pretrained`, a path to a state dict, or `random` (the same configuration, weights drawn anew).
        seed: Seed of random weights.
        segment_s: Length of an input [s]; None for what the model was made for, 1 s where any length will do.
        hop_s: Step between two inputs of a longer clip [s]; None for their length.
        sample_rate: Rate of the sounds [Hz]; has to be the feature extractor's.
        output_names: One name per output unit; None for the model's labels, or numbers.
        channel_axes: As for `ModuleBackbone`.
    Raises:
        UserError: If transformers is not installed, the model cannot be had or is none for audio, an input is longer
            than it takes, or as for `ModuleBackbone`.
    References:
        AST: Audio spectrogram transformer (Gong, Chung and Glass, 2021). wav2vec 2.0 (Baevski, Zhou, Mohamed and
        Auli, 2020). HuBERT (Hsu and others, 2021). CLAP (Wu and others, 2023). Code: transformers.
    """

    def __init__(
        self,
        model: str,
        *,
        layers: Sequence[str] | Mapping[str, str] | None = None,
        weights: str = "pretrained",
        seed: int = 0,
        segment_s: float | None = None,
        hop_s: float | None = None,
        sample_rate: int = 16_000,
        output_names: Sequence[str] | None = None,
        channel_axes: Mapping[str, int] | None = None,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        config, extractor = described(model)
        if extractor.sampling_rate != sample_rate:
            raise UserError(
                f"expected backbone.sample_rate={extractor.sampling_rate} (what {model} was made for), got "
                f"{sample_rate}"
            )
        longest = longest_s(extractor)
        segment_s = segment_s or longest or DEFAULT_S
        if longest is not None and segment_s > longest:
            raise UserError(f"expected backbone.segment_s of at most {longest:g} s for {model}, got {segment_s:g}")
        kind = model_class(config)

        def tower() -> Tower:
            masked = longest is None and extractor.return_attention_mask
            return Tower(loaded(kind, model) if weights == "pretrained" else kind(config), masked)

        super().__init__(
            tower,
            layers=layers,
            target=config.model_type,
            weights=BUILT if weights == "pretrained" else weights,
            seed=seed,
            front_end=FeatureExtractor(extractor),
            sample_rate=sample_rate,
            segment_s=segment_s,
            hop_s=hop_s,
            output_names=output_names,
            channel_axes=channel_axes,
            version=hashlib.sha256(extractor.to_json_string().encode()).hexdigest(),
        )
        self._settings = settings
        if weights == "pretrained":
            self.weights = replace(self.weights, source=Path(model).name)
        if output_names is None and hasattr(self.network.model, "classifier"):
            self.output_names = [str(config.id2label[k]) for k in range(len(self.output_names))]

    def named(self, layers: Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | None:
        """Gives names of layers to names of submodules; `blockN` and `convN` are told from their place."""
        blocks = self.blocks()
        if layers is None:
            return blocks
        called = super().named(layers)
        return {name: blocks.get(submodule, submodule) for name, submodule in called.items()}

    def blocks(self) -> dict[str, str]:
        """Gives `conv1` ... (of models that hear waveforms) and `block1` ... to names of submodules."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        found: dict[str, str] = {}
        counts = {"conv": 0, "block": 0}
        for name, module in self.network.named_modules():
            if isinstance(module, GradientCheckpointingLayer):
                kind = "conv" if ".conv_layers." in name else "block"
                counts[kind] += 1
                found[f"{kind}{counts[kind]}"] = name
        return found

    def front_end(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Turns waveforms `(B, L)` into the model's input, padded as it expects behind `lengths` samples, `(B,)`."""
        return self.features(waveforms, lengths)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Turns features into outputs `(B, K)`; padding behind `lengths` samples is masked where the model can."""
        return self.network(features, lengths)

    def resume(self, layer: str, activation: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Runs what follows `layer` on its output; `lengths` as in `forward`.

        Raises:
            UserError: If there is no such layer, or the rest of the network reads more than its output.
        """
        if lengths is None:
            return super().resume(layer, activation)
        silent = torch.zeros(len(activation), int(lengths.max()), device=activation.device)
        return self._pass(layer, activation, self.front_end(silent, lengths), lengths=lengths)


def described(model: str) -> tuple[Any, Any]:
    """Reads the configuration and the feature extractor of a model.

    Raises:
        UserError: If they cannot be had, or are not those of an audio model.
    """
    package = transformers()
    try:
        config = package.AutoConfig.from_pretrained(model)
        extractor = package.AutoFeatureExtractor.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise UserError(
            f"expected backbone.model to be the name of a model that can be reached, or a folder that save_pretrained "
            f"wrote with its feature extractor, got {model}: {str(error).splitlines()[0]}"
        ) from error
    if not hasattr(extractor, "sampling_rate"):
        raise UserError(f"expected a model that hears audio, got {model} ({config.model_type})")
    if config.is_encoder_decoder:
        raise UserError(f"expected a model that only hears, got {model} ({config.model_type}), which also writes: wrap "
                        "its encoder with backbone=module")  # fmt: skip
    return getattr(config, "audio_config", config), extractor


def model_class(config: Any) -> type[nn.Module]:
    """Chooses the class of transformers: with its classifier where the model was saved with one."""
    package = transformers()
    saved = (config.architectures or [""])[0]
    if saved.endswith("Classification") and hasattr(package, saved):
        return getattr(package, saved)
    if config.model_type == "clap_audio_model":
        return package.ClapAudioModelWithProjection
    return package.MODEL_MAPPING[type(config)]


def loaded(kind: Any, model: str) -> nn.Module:
    """Loads a model with its weights, all of them.

    Raises:
        UserError: If weights are missing, which transformers would draw at random.
    """
    logging = transformers().utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # it lists the weights of parts that are not asked for
    logging.disable_progress_bar()
    try:
        network, found = kind.from_pretrained(model, output_loading_info=True)
    except OSError as error:
        raise UserError(f"expected the weights of {model}, got none: {str(error).splitlines()[0]}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
    missing = sorted(name for name in found["missing_keys"] if not name.endswith("masked_spec_embed"))
    if missing:
        raise UserError(
            f"expected all weights of {kind.__name__} in {model}, got {len(missing)} missing (first: {missing[0]}): "
            "take a model that was trained with them, or backbone.weights=random"
        )
    return network


def longest_s(extractor: Any) -> float | None:
    """Tells the longest input of a feature extractor [s]; None for those that take any length."""
    if hasattr(extractor, "nb_max_samples"):
        return extractor.nb_max_samples / extractor.sampling_rate
    if hasattr(extractor, "max_length"):  # AST's frames of 25 ms, the last of which has to fit
        return extractor.max_length * FRAME_S + 0.015
    return None
