"""Names and shapes of SD 1.x, written from its published configuration and CompVis' modules.

`configs/stable-diffusion/v1-inference.yaml`: UNet of 320 channels times (1, 2, 4, 4), two residual
blocks a level, attention at three levels, context 768; autoencoder of 128 times (1, 2, 4, 4); CLIP
ViT-L/14's text encoder. Nothing here asks diffusers.
"""

Shapes = dict[str, tuple[int, ...]]


def weighed(name: str, *shape: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def unet(channels: int = 320, context: int = 768) -> Shapes:
    root, emb, mults = "model.diffusion_model.", 4 * channels, (1, 2, 4, 4)
    found = weighed("time_embed.0", emb, channels) | weighed("time_embed.2", emb, emb)
    found |= weighed("input_blocks.0.0", channels, 4, 3, 3)
    width, skips, n = channels, [channels], 1
    for level, mult in enumerate(mults):
        for _ in range(2):
            found |= residual(f"input_blocks.{n}.0", width, mult * channels, emb)
            width = mult * channels
            found |= transformer(f"input_blocks.{n}.1", width, context) if level < 3 else {}
            skips.append(width)
            n += 1
        if level < 3:
            found |= weighed(f"input_blocks.{n}.0.op", width, width, 3, 3)
            skips.append(width)
            n += 1
    found |= residual("middle_block.0", width, width, emb)
    found |= transformer("middle_block.1", width, context)
    found |= residual("middle_block.2", width, width, emb)
    n = 0
    for level, mult in reversed(list(enumerate(mults))):
        for k in range(3):
            found |= residual(f"output_blocks.{n}.0", width + skips.pop(), mult * channels, emb)
            width = mult * channels
            found |= transformer(f"output_blocks.{n}.1", width, context) if level < 3 else {}
            if level and k == 2:
                place = f"output_blocks.{n}.{2 if level < 3 else 1}.conv"
                found |= weighed(place, width, width, 3, 3)
            n += 1
    found |= weighed("out.0", channels) | weighed("out.2", 4, channels, 3, 3)
    return {root + name: shape for name, shape in found.items()}


def residual(name: str, old: int, new: int, emb: int) -> Shapes:
    found = weighed(f"{name}.in_layers.0", old) | weighed(f"{name}.in_layers.2", new, old, 3, 3)
    found |= weighed(f"{name}.emb_layers.1", new, emb)
    found |= weighed(f"{name}.out_layers.0", new) | weighed(f"{name}.out_layers.3", new, new, 3, 3)
    return found | (weighed(f"{name}.skip_connection", new, old, 1, 1) if old != new else {})


def transformer(name: str, width: int, context: int) -> Shapes:
    found = weighed(f"{name}.norm", width)
    found |= weighed(f"{name}.proj_in", width, width, 1, 1)
    found |= weighed(f"{name}.proj_out", width, width, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, seen in (("attn1", width), ("attn2", context)):
        found |= weighed(f"{block}.{attention}.to_q", width, width, bias=False)
        found |= weighed(f"{block}.{attention}.to_k", width, seen, bias=False)
        found |= weighed(f"{block}.{attention}.to_v", width, seen, bias=False)
        found |= weighed(f"{block}.{attention}.to_out.0", width, width)
    found |= weighed(f"{block}.ff.net.0.proj", 8 * width, width)
    found |= weighed(f"{block}.ff.net.2", width, 4 * width)
    for k in (1, 2, 3):
        found |= weighed(f"{block}.norm{k}", width)
    return found


def vae() -> Shapes:
    mults = (1, 2, 4, 4)
    found = weighed("encoder.conv_in", 128, 3, 3, 3) | weighed("decoder.conv_in", 512, 4, 3, 3)
    width = 128
    for level, mult in enumerate(mults):
        for k in range(2):
            found |= plain(f"encoder.down.{level}.block.{k}", width, 128 * mult)
            width = 128 * mult
        if level < 3:
            found |= weighed(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    for side in ("encoder", "decoder"):
        found |= plain(f"{side}.mid.block_1", 512, 512) | plain(f"{side}.mid.block_2", 512, 512)
        found |= weighed(f"{side}.mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            found |= weighed(f"{side}.mid.attn_1.{part}", 512, 512, 1, 1)
    for level, mult in reversed(list(enumerate(mults))):
        for k in range(3):
            found |= plain(f"decoder.up.{level}.block.{k}", width, 128 * mult)
            width = 128 * mult
        if level:
            found |= weighed(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    found |= weighed("encoder.norm_out", 512) | weighed("encoder.conv_out", 8, 512, 3, 3)
    found |= weighed("decoder.norm_out", 128) | weighed("decoder.conv_out", 3, 128, 3, 3)
    found |= weighed("quant_conv", 8, 8, 1, 1) | weighed("post_quant_conv", 4, 4, 1, 1)
    return {f"first_stage_model.{name}": shape for name, shape in found.items()}


def plain(name: str, old: int, new: int) -> Shapes:
    found = weighed(f"{name}.norm1", old) | weighed(f"{name}.conv1", new, old, 3, 3)
    found |= weighed(f"{name}.norm2", new) | weighed(f"{name}.conv2", new, new, 3, 3)
    return found | (weighed(f"{name}.nin_shortcut", new, old, 1, 1) if old != new else {})


def text() -> Shapes:
    found: Shapes = {"embeddings.token_embedding.weight": (49408, 768)}
    found["embeddings.position_embedding.weight"] = (77, 768)
    for k in range(12):
        layer = f"encoder.layers.{k}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= weighed(f"{layer}.self_attn.{part}", 768, 768)
        found |= weighed(f"{layer}.layer_norm1", 768) | weighed(f"{layer}.layer_norm2", 768)
        found |= weighed(f"{layer}.mlp.fc1", 3072, 768) | weighed(f"{layer}.mlp.fc2", 768, 3072)
    found |= weighed("final_layer_norm", 768)
    return {f"cond_stage_model.transformer.text_model.{name}": s for name, s in found.items()}
