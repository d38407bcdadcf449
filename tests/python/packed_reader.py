"""Reads packed networks as docs/packed-format.md describes them, with NumPy alone, and writes what every layer
computes.

    packed_reader.py NETWORK PICTURES COUNT OUTPUT

PICTURES holds COUNT pictures of bytes, [row][column][channel], one behind the other. OUTPUT is a
folder that receives, for each layer LAYER, a file LAYER.bin with its results for all pictures: codes as bytes, sums as
i32, values as f32.
"""

import hashlib
import json
import pathlib
import struct
import sys

import numpy as np

DTYPES = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4"), "U8": np.dtype("u1")}
f32 = np.float32


def read(path):
    """The description and the tensors by name."""
    file = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + length])
    data = file[8 + length :]
    metadata = header.pop("__metadata__")
    text = metadata["packed_network"]
    digest = hashlib.sha256(text.encode() + data).hexdigest()
    if digest != metadata["sha256"]:
        raise SystemExit("the digest is wrong")
    description = json.loads(text)
    if description["format"] != 1:
        raise SystemExit(f"unknown format {description['format']}")
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = np.frombuffer(data[first:last], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return description, tensors


def neighbors(size, resized):
    """Source positions beside each resized position, and the share of the second."""
    center = (2 * np.arange(resized) + 1) * size + resized
    above = center // (2 * resized)
    share = (center % (2 * resized)).astype(f32) / f32(2 * resized)
    return np.maximum(above, 1) - 1, np.minimum(above, size - 1), share


def blend(first, second, share):
    return first * (f32(1) - share) + second * share


def prepare(description, pictures):
    """Pictures of bytes to values [picture][row][column][channel]."""
    steps = description["preprocessing"]
    values = pictures.astype(f32)
    (rows, columns), (height, width) = steps["resize"], steps["crop"]
    top, bottom, down = neighbors(values.shape[1], rows)
    left, right, across = neighbors(values.shape[2], columns)
    values = blend(values[:, :, left], values[:, :, right], across[None, None, :, None])
    values = blend(values[:, top], values[:, bottom], down[None, :, None, None])
    dy, dx = (rows - height) // 2, (columns - width) // 2
    result = np.zeros((len(values), height, width, values.shape[3]), f32)
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < rows and 0 <= x + dx < columns:
                result[:, y, x] = values[:, y + dy, x + dx]
    channels = np.minimum(np.arange(values.shape[3]), 2)
    subtract = np.array(steps.get("subtract", [0, 0, 0]), f32)[channels]
    divide_by = np.broadcast_to(np.array(steps["divide_by"], f32), 3)[channels]
    return (result - subtract) / divide_by


def taps(x, window, outside):
    """The inputs under each tap of the window, in order: arrays [picture][output row][output column][channel]."""
    top, bottom, left, right = window["padding"]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=outside)
    (kernel_h, kernel_w), stride = window["kernel"], window["stride"]
    height = (padded.shape[1] - kernel_h) // stride + 1
    width = (padded.shape[2] - kernel_w) // stride + 1
    for ky in range(kernel_h):
        for kx in range(kernel_w):
            yield padded[:, ky : ky + stride * height : stride, kx : kx + stride * width : stride][
                :, :height, :width
            ]


def convolution(x, layer, weight, bias):
    """One product after the other is rounded and added, in the order (ky, kx, ci); then the bias."""
    groups, channels = layer["groups"], layer["channels"]
    inner, outer = x.shape[3] // groups, channels // groups
    results = []
    for group in range(groups):
        rows = weight[group * outer : (group + 1) * outer].reshape(outer, -1, inner)
        total = None
        for tap, values in enumerate(taps(x[..., group * inner : (group + 1) * inner], layer["window"], 0)):
            for channel in range(inner):
                product = values[..., channel, None] * rows[:, tap, channel]
                total = f32(0) + product if total is None else total + product
        results.append(total)
    result = np.concatenate(results, axis=3)
    return result if bias is None else result + bias


def bit_convolution(x, layer, planes):
    """Sums of code times (2 weight code - n) in integers."""
    bits, channels, groups = layer["weight_bits"], layer["channels"], layer["groups"]
    window = layer["window"]
    inner, outer = x.shape[3] // groups, channels // groups
    count = channels * window["kernel"][0] * window["kernel"][1] * inner
    unpacked = np.unpackbits(planes, axis=1, bitorder="little")[:, :count].astype(np.int64)
    codes = sum(plane << (bits - 1 - at) for at, plane in enumerate(unpacked))
    centered = (2 * codes - (2**bits - 1)).reshape(channels, -1, inner)
    results = []
    for group in range(groups):
        rows = centered[group * outer : (group + 1) * outer]
        inputs = taps(x[..., group * inner : (group + 1) * inner].astype(np.int64), window, 0)
        results.append(sum(values @ rows[:, tap].T for tap, values in enumerate(inputs)))
    return np.concatenate(results, axis=3).astype(np.int32)


def threshold(sums, layer, thresholds, ascending):
    """How many thresholds a sum passes; then the largest code of a window."""
    passed = (sums[..., None, :] >= thresholds) == (ascending == 1)
    codes = passed.sum(axis=3).astype(np.uint8)
    if layer["pool"] is not None:
        codes = np.maximum.reduce(list(taps(codes, layer["pool"], 0)))
    return codes


def quantize(x, bits):
    n = f32(2**bits - 1)
    return np.rint(n * np.clip(x, f32(0), f32(1))).astype(np.uint8)


def step(bits):
    return f32(1) / f32(2**bits - 1)


def run(description, tensors, pictures):
    """What every layer computes, by name."""
    outputs = {"image": prepare(description, pictures)}
    bits = {}
    scales = {}
    for layer in description["layers"]:
        name, inputs = layer["name"], [outputs[name] for name in layer["inputs"]]
        before = layer["inputs"][0]
        operation = layer["operation"]
        kind, values = (operation, None) if isinstance(operation, str) else next(iter(operation.items()))
        x = inputs[0]
        own = lambda suffix: tensors.get(f"{name}.{suffix}")
        if kind == "convolution":
            result = convolution(x, values, own("weight"), own("bias"))
        elif kind == "batch_normalization":
            gamma, beta, mean, variance = own("normalization")
            slope = gamma * (f32(1) / np.sqrt(variance + f32(values["epsilon"])))
            result = (x - mean) * slope + beta
        elif kind == "max_pool":
            result = np.maximum.reduce(list(taps(x, values, -np.inf)))
        elif kind == "average_pool":
            inside = list(taps(np.ones_like(x), values, 0))
            total, count = np.zeros_like(inside[0]), np.zeros_like(inside[0])
            for tap, one in zip(taps(x, values, 0), inside):
                total, count = total + tap, count + one
            result = total / count
        elif kind == "scale":
            result = f32(values["factor"]) * x
        elif kind == "global_average_pool":
            total = np.zeros((len(x), 1, 1, x.shape[3]), f32)
            for pixel in x.reshape(len(x), -1, x.shape[3]).transpose(1, 0, 2):
                total[:, 0, 0] += pixel
            result = total * (f32(1) / f32(x.shape[1] * x.shape[2]))
        elif kind == "clip":
            result = np.clip(x, f32(0), f32(1))
        elif kind == "relu":
            result = np.maximum(x, f32(0))
        elif kind == "add":
            result = x + inputs[1]
        elif kind == "quantize":
            result, bits[name] = quantize(x, values["bits"]), values["bits"]
        elif kind == "dequantize":
            result = step(bits[before]) * x.astype(f32)
        elif kind == "bit_convolution":
            result = bit_convolution(x, values, own("planes"))
            weight_step = f32(1) if values["weight_bits"] == 1 else step(values["weight_bits"])
            scales[name] = (step(bits[before]) * weight_step) * own("scale")[0]
        elif kind == "threshold":
            result, bits[name] = threshold(x, values, own("thresholds"), own("ascending")), values["bits"]
        elif kind == "rescale":
            result = x.astype(f32) * scales[before]
        else:
            raise SystemExit(f"unknown operation {kind}")
        outputs[name] = result
    return outputs


def main():
    network, pictures, count, output = sys.argv[1:]
    description, tensors = read(network)
    image = description["image"]
    shape = (int(count), image["height"], image["width"], image["channels"])
    outputs = run(description, tensors, np.fromfile(pictures, np.uint8).reshape(shape))
    folder = pathlib.Path(output)
    for layer in description["layers"]:
        result = outputs[layer["name"]]
        result.astype(result.dtype.newbyteorder("<")).tofile(folder / f"{layer['name']}.bin")


if __name__ == "__main__":
    main()
