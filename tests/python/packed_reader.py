"""Reads packed networks as docs/packed-format.md describes them, with NumPy alone, and writes what every layer
computes.

    packed_reader.py NETWORK PICTURES COUNT OUTPUT [WEIGHT_BITS,ACTIVATION_BITS]

PICTURES holds COUNT pictures of bytes, [row][column][channel], one behind the other. OUTPUT is a
folder that receives, for each layer LAYER, a file LAYER.bin with its results for all pictures: codes as bytes, sums as
i32, values as f32. With bits, the network of those bits among the ones that share the planes is read.
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
    if description["format"] not in (1, 2, 3, 4):
        raise SystemExit(f"unknown format {description['format']}")
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = np.frombuffer(data[first:last], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return description, tensors


class Network:
    """Layers with the tensors that they read."""

    def __init__(self, description, tensors, bits):
        self.description, self.tensors, self.key = description, tensors, ""
        self.layers = description["layers"]
        if bits and bits != description["provenance"]["bits"][:2]:
            (other,) = [other for other in description["narrower"] if other["bits"] == bits]
            self.layers, self.key = other["layers"], f"@{bits[0]},{bits[1]}"

    def tensor(self, layer, suffix):
        name = f"{layer}.{suffix}"
        return self.tensors.get(name + self.key, self.tensors.get(name))


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
        outside = layer.get("outside", 0)
        own = x[..., group * inner : (group + 1) * inner]
        for tap, values in enumerate(taps(own, layer["window"], outside)):
            for channel in range(inner):
                product = values[..., channel, None] * rows[:, tap, channel]
                total = f32(0) + product if total is None else total + product
        results.append(total)
    result = np.concatenate(results, axis=3)
    return result if bias is None else result + bias


def levels(bits):
    return 2**bits - 1


def step(bits):
    return f32(1) / f32(levels(bits))


def bits_of(packed, count):
    return np.unpackbits(packed, axis=-1, bitorder="little")[..., :count].astype(np.int64)


def weight_groups(network, name, layer, inner):
    """Per group of planes: the integers [channel][tap and inner] of the weights, and their factors by channel."""
    channels, bits = layer["channels"], layer["weight_bits"]
    fan_in = layer["window"]["kernel"][0] * layer["window"]["kernel"][1] * inner
    factor = f32(1) if bits == 1 else step(bits)
    written = layer.get("weights") or [{"planes": bits, "factor": factor, "scales": 1, "plain": True}]
    groups = []
    for at, group in enumerate(written):
        own = lambda what: network.tensor(name, what if "plain" in group else f"{what}.{at}")
        kept = np.ones(channels * fan_in, bool)
        if "mask" in group:
            run = group["mask"]["run"]
            runs = bits_of(own("mask"), channels * -(-fan_in // run)).reshape(channels, -1)
            kept = np.repeat(runs, run, axis=1)[:, :fan_in].reshape(-1) == 1
        count = int(kept.sum())
        # A narrower network reads the first planes.
        planes = bits_of(own("planes")[: group["planes"]], count)
        codes = sum(plane << (group["planes"] - 1 - p) for p, plane in enumerate(planes))
        integers = np.zeros(channels * fan_in, np.int64)
        integers[kept] = 2 * codes - levels(group["planes"])
        scales = own("scale") if group.get("scales") else np.ones(1, f32)
        scales = np.repeat(scales, channels // len(scales))
        groups.append((integers.reshape(channels, fan_in), f32(group["factor"]), scales))
    return groups


def code_groups(codes, numbers):
    """The integers of each group of planes of the codes, with the group's factor."""
    sign = codes["planes"] == "sign"
    for at, group in enumerate(codes["groups"]):
        own = (numbers.astype(np.int64) >> group["first"]) & levels(group["planes"])
        if codes.get("apart"):
            own = np.where(codes["of_channels"] == at, own, 0)
        yield 2 * own - levels(group["planes"]) if sign else own, f32(group["factor"])


def integer_sums(x, layer, outside, weights):
    channels, groups = layer["channels"], layer["groups"]
    inner, outer = x.shape[3] // groups, channels // groups
    results = []
    for group in range(groups):
        rows = weights[group * outer : (group + 1) * outer].reshape(outer, -1, inner)
        inputs = taps(x[..., group * inner : (group + 1) * inner], layer["window"], outside)
        results.append(sum(values @ rows[:, tap].T for tap, values in enumerate(inputs)))
    return np.concatenate(results, axis=3)


def bit_convolution(network, name, x, layer, codes, of_positions):
    """Sums of one pair of groups with their factors, or values: the sums of all pairs, those with factors of the positions, or a
    convolution of values."""
    groups = weight_groups(network, name, layer, x.shape[3] // layer["groups"])
    if codes is None:
        weight = None
        for integers, factor, scales in groups:
            own = (factor * scales)[:, None] * integers.astype(f32)
            weight = own if weight is None else weight + own
        return convolution(x, layer, weight, None), None
    pairs = []
    for values, code_factor in code_groups(codes, x):
        outside = 0
        if codes["planes"] == "sign":
            outside = levels(codes["groups"][len(pairs) // len(groups)]["planes"])
        for integers, factor, scales in groups:
            both = code_factor * factor
            if of_positions is not None:
                both = both * of_positions
            pairs.append((integer_sums(values, layer, outside, integers), both * scales))
    apart = layer.get("apart") and len(pairs) == len(groups)
    if of_positions is None and (len(pairs) == 1 or apart):
        # Groups apart reach no channel twice.
        reached = [integers.any(axis=1) for integers, _, _ in groups]
        factors = sum(np.where(own, pair[1], f32(0)) for own, pair in zip(reached, pairs))
        return sum(pair[0] for pair in pairs).astype(np.int32), factors if apart else pairs[0][1]
    total = None
    for sums, factors in pairs:
        term = sums.astype(f32) * factors
        total = term if total is None else total + term
    return total, None


def pile_sums(numbers, factor):
    """Vectors of lanes, dealt to piles of up to 256: the lanes' sums of each, added in pairs."""
    lanes = 4 if numbers.shape[-1] % 4 == 0 else 1
    vectors = numbers.reshape(*numbers.shape[:-1], -1, lanes)
    piles = -(-vectors.shape[-2] // 256)
    results = []
    for pile in range(piles):
        total = vectors[..., pile, :]
        for at in range(pile + piles, vectors.shape[-2], piles):
            total = total + vectors[..., at, :]
        lane = lambda at: total[..., at]
        results.append(factor * ((lane(0) + lane(1)) + (lane(2) + lane(3)) if lanes == 4 else lane(0)))
    return np.stack(results, axis=-1)


def channel_magnitude(x):
    piles = pile_sums(np.abs(x), f32(1) / f32(x.shape[3]))
    while piles.shape[-1] > 1:
        piles = pile_sums(piles, f32(1))
    return piles


def threshold(sums, layer, thresholds, ascending):
    """How many thresholds a sum passes; then the largest code of a window."""
    passed = (sums[..., None, :] >= thresholds) == (ascending == 1)
    codes = passed.sum(axis=3).astype(np.uint8)
    if layer["pool"] is not None:
        codes = np.maximum.reduce(list(taps(codes, layer["pool"], 0)))
    return codes


def quantize(x, values, widths, codes):
    bits = values["bits"]
    if codes.get("apart"):
        most = np.array([levels(group["planes"]) for group in codes["groups"]])[codes["of_channels"]]
        down = values.get("rule", {}).get("rounding") == "down"
        number = (most + down).astype(f32) * np.clip(x, f32(0), f32(1))
        return np.minimum(np.floor(number) if down else np.rint(number), most).astype(np.uint8)
    usual = {"form": "clip", "inverse": 1, "factor": levels(bits), "rounding": "even"}
    rule = values.get("rule", usual)
    if rule["form"] == "sign":
        return (x >= 0).astype(np.uint8)
    if rule["form"] == "clip_by_channel":
        own = (2 ** widths.astype(np.int64) - 1).astype(f32)
        steps = (f32(levels(bits)) / own).astype(np.uint8)
        return np.rint(own * np.clip(x, f32(0), f32(1))).astype(np.uint8) * steps
    x, drop = f32(rule["inverse"]) * x, rule.get("drop", 0)
    limited = np.clip(np.abs(x) if rule["form"] == "magnitude" else x, f32(0), f32(1))
    number = f32(rule["factor"]) * limited
    rounded = {"even": np.rint, "half_up": lambda v: np.floor(v + f32(0.5)), "down": np.floor}[rule["rounding"]]
    return np.minimum(rounded(number), levels(bits + drop)).astype(np.uint8) >> drop


def run(network, pictures):
    """What every layer computes, by name."""
    outputs = {"image": prepare(network.description, pictures)}
    codes = {}
    scales = {}
    for layer in network.layers:
        name, inputs = layer["name"], [outputs[name] for name in layer["inputs"]]
        before = layer["inputs"][0]
        operation = layer["operation"]
        kind, values = (operation, None) if isinstance(operation, str) else next(iter(operation.items()))
        x = inputs[0]
        own = lambda suffix: network.tensor(name, suffix)
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
        elif kind == "magnitude":
            result = np.minimum(np.abs(x), f32(1))
        elif kind == "clip_to":
            result = np.clip(x, f32(0), f32(values["limit"]))
        elif kind == "magnitude_to":
            result = np.minimum(np.abs(x), f32(values["limit"]))
        elif kind == "channel_magnitude":
            result = channel_magnitude(x)
        elif kind == "window_mean":
            all_taps = list(taps(x, values, 0))
            total = all_taps[0]
            for tap in all_taps[1:]:
                total = total + tap
            result = (f32(1) / f32(len(all_taps))) * total
        elif kind == "scale_positions":
            result = x * inputs[1]
        elif kind == "relu":
            result = np.maximum(x, f32(0))
        elif kind == "add":
            result = x + inputs[1]
        elif kind == "weighted_sum":
            terms = [factor * value for factor, value in zip(own("factors"), inputs)]
            result = terms[0]
            for term in terms[1:]:
                result = result + term
        elif kind == "bias":
            result = x + own("bias")
        elif kind in ("quantize", "threshold"):
            whole = {"first": 0, "planes": values["bits"], "factor": step(values["bits"])}
            codes[name] = values.get("codes", {"planes": "unit", "groups": [whole]})
            if kind == "quantize":
                codes[name] = {**codes[name], "of_channels": own("groups")}
                result = quantize(x, values, own("bits"), codes[name])
            else:
                result = threshold(x, values, own("thresholds"), own("ascending"))
        elif kind == "dequantize":
            terms = [factor * number.astype(f32) for number, factor in code_groups(codes[before], x)]
            result = terms[0]
            for term in terms[1:]:
                result = result + term
        elif kind == "bit_convolution":
            of_positions = inputs[1] if len(inputs) > 1 else None
            result, scales[name] = bit_convolution(network, name, x, values, codes.get(before), of_positions)
        elif kind == "rescale":
            result = x.astype(f32) * scales[before]
        else:
            raise SystemExit(f"unknown operation {kind}")
        outputs[name] = result
    return outputs


def main():
    path, pictures, count, output, *rest = sys.argv[1:]
    description, tensors = read(path)
    network = Network(description, tensors, [int(bits) for bits in rest[0].split(",")] if rest else None)
    image = description["image"]
    shape = (int(count), image["height"], image["width"], image["channels"])
    outputs = run(network, np.fromfile(pictures, np.uint8).reshape(shape))
    folder = pathlib.Path(output)
    for layer in network.layers:
        result = outputs[layer["name"]]
        if result.dtype == f32:
            # Zeros of both signs are equal.
            result = result + f32(0)
        result.astype(result.dtype.newbyteorder("<")).tofile(folder / f"{layer['name']}.bin")


if __name__ == "__main__":
    main()
