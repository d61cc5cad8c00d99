"""Random networks of the published architectures, small enough for tests, saved as users have them on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
LABELS = {
    "id2label": dict(enumerate(CITYSCAPES)),
    "label2id": {name: place for place, name in enumerate(CITYSCAPES)},
}
SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
SWIN |= {"window_size": 4, "drop_path_rate": 0.0}
STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}


def eomt(folder: Path) -> None:
    from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

    config = EomtConfig(
        **{"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        **{"mlp_ratio": 2, "num_upscale_blocks": 1, "num_blocks": 1, "num_queries": 12, "num_register_tokens": 1},
        **LABELS,
    )
    network = EomtForUniversalSegmentation(config)
    _scale(network.class_predictor, 30.0)
    _scale(network.mask_head.fc3, 30.0)
    network.save_pretrained(folder)
    EomtImageProcessor(
        size={"shortest_edge": 32, "longest_edge": None}, do_split_image=True, do_pad=False
    ).save_pretrained(folder)


def mask2former(folder: Path) -> None:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**SWIN, **STAGES),
        **{"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16},
        **{"dim_feedforward": 16, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2},
        **{"num_queries": 12},
        **LABELS,
    )
    network = Mask2FormerForUniversalSegmentation(config)
    _scale(network.class_predictor, 30.0)
    _scale(network.model.transformer_module.decoder.mask_predictor.mask_embedder.get_submodule("2.0"), 30.0)
    network.save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def oneformer(folder: Path) -> None:
    from transformers import (
        CLIPTokenizer,
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        SwinConfig,
    )

    config = OneFormerConfig(
        backbone_config=SwinConfig(**SWIN, **STAGES),
        **{"conv_dim": 32, "mask_dim": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16, "dim_feedforward": 16},
        **{"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 12},
        **{"text_encoder_width": 32, "text_encoder_num_layers": 1, "text_encoder_vocab_size": 600},
        **LABELS,
    )
    network = OneFormerForUniversalSegmentation(config)
    _scale(network.model.transformer_module.decoder.class_embed, 30.0)
    _scale(network.model.transformer_module.decoder.mask_embed.get_submodule("layers.2.0"), 30.0)
    network.save_pretrained(folder)
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    OneFormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    settings = folder / "preprocessor_config.json"  # published ones name a file of another repository
    elsewhere = {"class_info_file": "cityscapes_panoptic.json", "repo_path": "shi-labs/oneformer_demo"}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **elsewhere}))


def segformer(folder: Path) -> None:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        **{"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]},
        **{"decoder_hidden_size": 16},
        **LABELS,
    )
    network = SegformerForSemanticSegmentation(config)
    _scale(network.decode_head.classifier, 300.0)
    network.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 64}).save_pretrained(folder)


WORDS = ("car", "vehicle", "construction", "road", "traffic", "cone", "bus")


def grounding_dino(folder: Path) -> None:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    vocabulary = [f"[unused{place}]" for place in range(1100)]
    for place, word in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}.items():
        vocabulary[place] = word  # as in the vocabulary that the network was trained with, which has these built in
    vocabulary[1030 : 1030 + len(WORDS)] = WORDS
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(**SWIN, out_features=["stage2", "stage3", "stage4"]),
        text_config=BertConfig(**text, vocab_size=len(vocabulary)),
        **{"num_queries": 20, "d_model": 32, "encoder_layers": 1, "encoder_ffn_dim": 16, "encoder_attention_heads": 2},
        **{"decoder_layers": 2, "decoder_ffn_dim": 16, "decoder_attention_heads": 2},
    )
    network = GroundingDinoForObjectDetection(config)
    with torch.no_grad():  # a random network puts every box into the whole image
        for layer in network.model.decoder.bbox_embed:
            torch.nn.init.normal_(layer.layers[-1].weight, std=0.5)
    network.save_pretrained(folder)
    GroundingDinoProcessor(
        GroundingDinoImageProcessor(size={"shortest_edge": 48, "longest_edge": 96}),
        BertTokenizer(str(folder / "vocab.txt")),
    ).save_pretrained(folder)


HIERA = {"hidden_size": 8, "image_size": [64, 64], "blocks_per_stage": [1, 1, 1, 1], "num_query_pool_stages": 3}
HIERA |= {"embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 1, 1]}
HIERA |= {"window_size_per_stage": [4, 4, 4, 2], "global_attention_blocks": []}
VISION = {"backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
VISION |= {"fpn_hidden_size": 32}
PROMPTS = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
DECODER = {"hidden_size": 32, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}


def sam2(folder: Path) -> None:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    vision = Sam2VisionConfig(backbone_config=Sam2HieraDetConfig(**HIERA), **VISION)
    network = Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=PROMPTS, mask_decoder_config=DECODER))
    _vary_masks(network.mask_decoder)
    network.save_pretrained(folder)
    _sam2_processor().save_pretrained(folder)


def sam2_video(folder: Path) -> None:
    """As the hub has it: a network for video, with that of images in it."""
    from transformers import (
        Sam2HieraDetConfig,
        Sam2VideoConfig,
        Sam2VideoMaskDecoderConfig,
        Sam2VideoModel,
        Sam2VideoPromptEncoderConfig,
        Sam2VisionConfig,
    )

    vision = Sam2VisionConfig(backbone_config=Sam2HieraDetConfig(**HIERA), **VISION)
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(**PROMPTS),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(**DECODER),
        **{"memory_attention_hidden_size": 32, "memory_attention_num_layers": 1, "memory_encoder_hidden_size": 32},
        **{"memory_attention_feed_forward_hidden_size": 16, "memory_encoder_output_channels": 16},
        **{"mask_downsampler_embed_dim": 32, "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 16},
    )
    network = Sam2VideoModel(config)
    _vary_masks(network.mask_decoder)
    network.save_pretrained(folder)
    _sam2_processor().save_pretrained(folder)
    for settings in folder.glob("*processor*.json"):
        settings.write_text(settings.read_text().replace("Sam2Processor", "Sam2VideoProcessor"))


def sam(folder: Path) -> None:
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {"hidden_size": 16, "output_channels": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {
        "image_size": 64,
        "patch_size": 16,
        "mlp_dim": 16,
        "window_size": 2,
        "global_attn_indexes": [0],
        "num_pos_feats": 16,
    }
    prompts = {**PROMPTS, "image_embedding_size": 4}
    network = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER))
    _vary_masks(network.mask_decoder)
    network.save_pretrained(folder)
    SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})).save_pretrained(
        folder
    )


def _sam2_processor() -> Any:
    from transformers import Sam2ImageProcessor, Sam2Processor

    return Sam2Processor(Sam2ImageProcessor(size={"height": 64, "width": 64}))


def _vary_masks(decoder: torch.nn.Module) -> None:
    """Masks that are large and small, and guesses of their quality that differ."""
    for hyper in decoder.output_hypernetworks_mlps:
        _scale(hyper.proj_out, 1e5)
    _scale(decoder.iou_prediction_head.proj_out, 1e3)


def _scale(layer: torch.nn.Module, factor: float) -> None:
    """Make a random network sure of what it says."""
    with torch.no_grad():
        layer.weight.mul_(factor)


MAKERS: dict[str, Callable[[Path], None]] = {
    make.__name__: make for make in (eomt, mask2former, oneformer, segformer, grounding_dino, sam2, sam2_video, sam)
}
