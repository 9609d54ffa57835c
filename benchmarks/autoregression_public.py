"""The authors' ColTran core (TensorFlow) with the weights of `autoregression.py`: its logits and its time.

`autoregression.py` runs it with an interpreter that has tensorflow, tf-keras and ml-collections, and the authors'
package ``coltran`` on its path. It reads FILE.npz and prints the largest difference of logits and
the seconds for one image.
"""

import json
import os
import sys
import time
from typing import Any

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
import numpy as np
import tensorflow as tf
import tf_keras

sys.modules["tensorflow.compat.v2.keras"] = (
    tf_keras  # the authors import it by this name, which was Keras 2 at their time
)
from coltran.models.colorizer import ColTranCore  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

LONG = 60  # seconds from which on the first call needs no warm-up
Weights = dict[str, np.ndarray]


def core(width: int, heads: int, hidden: int, depths: tuple[int, int, int]) -> Any:
    """Return their core, with all layers conditional."""
    shape = {"hidden_size": width, "ff_size": hidden, "num_heads": heads}
    conditional = dict.fromkeys(["cond_att_q", "cond_att_k", "cond_att_v", "cond_att_scale", "cond_ln"], True)
    decoder = {
        **shape,
        **conditional,
        "cond_mlp": "affine",
        "num_outer_layers": depths[1],
        "num_inner_layers": depths[2],
    }
    encoder = {**shape, "num_encoder_layers": depths[0]}
    return ColTranCore(
        ConfigDict({"hidden_size": width, "stage": "encoder_decoder", "encoder": encoder, "decoder": decoder})
    )


def load_weights(model: Any, w: Weights) -> None:
    """Copy our weights into their model."""
    model.encoder.embedding.set_weights([w["encoder.levels.weight"], np.zeros(w["encoder.levels.weight"].shape[1])])
    positions(model.encoder.encoder.pos_embed, w, "encoder.stack.places")
    for i, (layer, norm) in enumerate(
        zip(model.encoder.encoder.residual_layers, model.encoder.encoder.layer_norms, strict=True)
    ):
        name, part = f"encoder.stack.layers.{i // 2}", i % 2
        (perceptron if part else attention)(layer, w, name)
        norm.set_weights([w[f"{name}.norms.{part}.weight"], w[f"{name}.norms.{part}.bias"]])
    model.pixel_embed_layer.set_weights([w["outer.embed.weight"]])
    decoder(model.outer_decoder, w, "outer", "outer.conditions", "encoder.outer", 0)
    decoder(model.inner_decoder, w, "pixel", "row.conditions", "encoder.inner", len(model.outer_decoder.layer_norms))
    model.final_norm.set_weights([w["pixel.head.0.weight"], w["pixel.head.0.bias"]])
    model.final_dense.set_weights([w["pixel.head.1.weight"].T, w["pixel.head.1.bias"]])


def decoder(theirs: Any, w: Weights, name: str, conditions: str, where: str, first: int) -> None:
    positions(theirs.pos_embed, w, where)
    for i, (layer, norm) in enumerate(zip(theirs.residual_layers, theirs.layer_norms, strict=True)):
        (perceptron if i % 2 else attention)(layer, w, f"{name}.layers.{i // 2}")
        if not i % 2:
            condition(layer, w[f"{conditions}.attention.{i // 2}.weight"])
        norm.spatial_weights.assign(w["encoder.norms.places"][first + i][None, :, :, None])
        norm.channel_dense.set_weights([w["encoder.norms.weight"][first + i], w["encoder.norms.bias"][first + i]])
    for i, layer in enumerate(theirs.cmlp_layers):
        scale, shift = np.split(w[f"{conditions}.mlp.{i}.weight"].T, 2, 1)
        scales, shifts = np.split(w[f"{conditions}.mlp.{i}.bias"], 2)
        layer.set_weights([np.concatenate([shift, scale], 1), np.concatenate([shifts, scales])])


def positions(theirs: Any, w: Weights, name: str) -> None:
    theirs.embeddings[0].assign(w[f"{name}.rows"][:, None])
    theirs.embeddings[1].assign(w[f"{name}.columns"])


def perceptron(theirs: Any, w: Weights, name: str) -> None:
    theirs.set_weights(
        [a for i in (0, 2) for a in (w[f"{name}.perceptron.{i}.weight"].T, w[f"{name}.perceptron.{i}.bias"])]
    )


def attention(theirs: Any, w: Weights, name: str) -> None:
    heads = (theirs.num_heads, theirs.num_channels_per_head)
    parts = np.split(w[f"{name}.attention.ask.weight"], 3)
    for layer, part in zip((theirs.project_q, theirs.project_k, theirs.project_v), parts, strict=True):
        layer.w.assign(part.T.reshape(-1, *heads))
    theirs.project_final.w.assign(w[f"{name}.attention.answer.weight"].T.reshape(*heads, -1))
    (bias,) = (value for key, value in w.items() if key.startswith(f"{name}.attention.bias."))
    next(b for b in theirs.relative_attention.biases if b is not None).assign(bias)


def condition(theirs: Any, weight: np.ndarray) -> None:
    heads = (theirs.num_heads, theirs.num_channels_per_head)
    parts = [part.T.reshape(-1, *heads) for part in np.split(weight, 6)]
    for layer, scale, shift in zip(
        (theirs.project_cond_q, theirs.project_cond_k, theirs.project_cond_v), parts[:3], parts[3:], strict=True
    ):
        layer.w.assign(np.concatenate([scale, shift], -1))


def main() -> None:
    with np.load(sys.argv[1]) as file:
        arrays = dict(file)
    width, heads, hidden, threads, *depths = json.loads(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = core(width, heads, hidden, tuple(depths))
    gray, rgb = (tf.constant(arrays.pop(name), tf.int32) for name in ("gray", "rgb"))
    expected = arrays.pop("logits")
    model(rgb, training=False)
    load_weights(model, arrays)
    for layer in model.submodules:
        if isinstance(layer, tf_keras.layers.LayerNormalization):
            layer.epsilon = 1e-5  # Keras has 1e-3
    logits = model.decoder(rgb, model.encoder(gray), training=False).numpy()
    times = [seconds(model, gray)]
    if times[0] < LONG:
        times.append(seconds(model, gray))
    print(abs(logits[..., 0, :] - expected).max(), min(times))


def seconds(model: Any, gray: Any) -> float:
    start = time.perf_counter()
    model.sample(gray, mode="sample")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
