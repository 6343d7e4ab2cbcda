"""Train the playground's networks and write them, with images and maps, as scripts for a page.

    python docs/playground/export.py        # some six minutes on one core

Written are `data/*.js` here, and `tests/playground/reference.json`: what PyTorch says of the same
images. A page that is opened from a file may not fetch anything, so data are scripts: numbers as
base64 of float16 or of bytes.

ppcr, plain: notebook 00's recipe (phantoms, 28 px, timm:test_resnet, nine epochs), with and without
    PPCR. Runs that are there already are found, not repeated.
behind: a small plain network that judges every weight map alike. A network that was trained with
    open images alone says nonsense of half-closed ones; this one has seen every training image
    under a new random map in each epoch. Its 76,000 weights give sixty answers within a second.
The learned maps are the recorded ones of notebook 12, `data/results/runs/*/map.safetensors`.
"""

import csv
import json
import math
from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from medattn import Recipe, fit, load_dataset
from medattn.attention import attention_sites
from medattn.datasets.phantoms import CLASSES, FOVEA, REGION_RADIUS, VIEW, draw
from medattn.preprocess import NORMALISE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = HERE / "data"
REFERENCE = ROOT / "tests" / "playground" / "reference.json"
RESULTS = ROOT / "data" / "results"

N_EYES, N_SIXTY, N_REFERENCE = 12, 60, 20
TOUR = Recipe(
    dataset="phantoms",
    size=28,
    network="timm:test_resnet",
    epochs=9,
    optimizer="adam",
    lr=0.002,
    lr_step=6,
    weight_decay=1e-4,
    seed=0,
)


# ---- networks


class Whole(nn.Module):
    """A network from bytes 0..255 (and a weight map) to probabilities."""

    def __init__(self, network: nn.Module, normalise: str):
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in NORMALISE[normalise])
        self.register_buffer("mean", 255 * mean)
        self.register_buffer("std", 255 * std)

    def forward(self, images: Tensor, weight_map: Tensor | None = None) -> Tensor:
        """Give probabilities (N, 3) of images (N, 3, H, W) under one map, or one each."""
        x = (images - self.mean) / self.std
        return self.network(x if weight_map is None else x * weight_map).softmax(1)


def small_network() -> nn.Sequential:
    """Give the network of "Paint the map": six convolutions, 28, 14 and 7 pixels wide."""
    layers: list[nn.Module] = []
    widths = [(3, 16, 1), (16, 24, 1), (24, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    for into, out, stride in widths:
        layers += [nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))


def random_maps(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw maps (N, 1, size, size) as a hand or a training makes them: blobs, discs, all ones."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)

    cells = int(torch.randint(3, 9, (), generator=generator))
    field = torch.randn(n, 1, cells, cells, generator=generator)
    field = F.interpolate(field, (size, size), mode="bicubic")
    blobs = torch.sigmoid(uniform(0, 4).exp() * (field - uniform(-1.2, 1.2)))
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    away = torch.hypot(axis - uniform(-0.8, 0.8), axis.view(-1, 1) - uniform(-0.8, 0.8))
    discs = torch.sigmoid(uniform(5, 40) * (uniform(0.15, 0.9) - away))
    discs = discs.where(uniform(0, 1) < 0.7, 1 - discs)
    maps = blobs.where(uniform(0, 1) < 0.5, discs)
    lowest = uniform(-0.9, 0.9).clamp(min=0)  # quite closed in half of them
    maps = lowest + (uniform(0.8, 1.1) - lowest) * maps
    return maps.where(uniform(0, 1) < 0.75, torch.ones(()))


def train_behind(n_images: int = 3000, epochs: int = 30, seed: int = 0) -> Whole:
    """Train the small network, every image under a new random map in each epoch."""
    split = load_dataset("phantoms", 28, n_train=n_images).train
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    whole = Whole(small_network(), "imagenet").train()
    images, batch = split.images.float(), 50
    steps = epochs * (n_images // batch)
    optimizer = torch.optim.Adam(whole.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for epoch in range(epochs):
        losses = []
        for chosen in torch.randperm(n_images, generator=generator).split(batch):
            said = whole(images[chosen], random_maps(len(chosen), 28, generator))
            loss = F.nll_loss(said.clamp(min=1e-8).log(), split.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"behind random maps: epoch {epoch + 1} of {epochs}, loss {np.mean(losses):.3f}")
    return whole.eval()


# ---- a network as a list of operators


def graph(whole: Whole, *inputs: Tensor) -> dict:
    """Write a network down: nodes [operator, output, inputs, settings], numbers as float16.

    The graph is what `torch.export` gives; batch normalisations are folded into convolutions.
    """
    program = torch.export.export(whole.eval(), inputs).run_decompositions()
    held = {**program.state_dict, **program.constants}
    signature = program.graph_signature
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    named |= signature.inputs_to_lifted_tensor_constants
    tensors = {name: held[target].detach() for name, target in named.items()}
    alias: dict[str, str] = {}  # of a node that is not written: the node that stands for it
    nodes: dict[str, list] = {}

    def name(node) -> str | float:
        return alias.get(node.name, node.name) if isinstance(node, torch.fx.Node) else node

    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        op = node.target.__name__.split(".")[0]
        args = list(node.args)
        if op == "convolution":
            x, weight, bias, stride, padding, dilation, transposed, _, groups = args
            assert bias is None and not transposed and groups == 1 and dilation == [1, 1]
            settings = {"stride": stride[0], "padding": padding[0]}
            nodes[node.name] = ["conv", node.name, [name(x), weight.name, None], settings]
        elif op == "_native_batch_norm_legit_no_training":
            conv, (weight, bias, mean, var) = (
                nodes[args[0].name],
                (tensors[a.name] for a in args[1:5]),
            )
            assert conv[0] == "conv" and len(args[0].users) == 1
            scale = weight / (var + args[6]).sqrt()
            tensors[conv[2][1]] = tensors[conv[2][1]] * scale.view(-1, 1, 1, 1)
            conv[2][2] = f"{args[0].name}_bias"
            tensors[conv[2][2]] = bias - mean * scale
            alias[node.name] = args[0].name
        elif op == "getitem" and args[0].target.__name__.startswith("var_mean"):
            x, axes = args[0].args
            assert args[0].kwargs == {"correction": 0, "keepdim": True}
            settings = {"axes": axes, "keep": True}
            nodes[node.name] = [("var", "mean")[args[1]], node.name, [name(x)], settings]
        elif op == "getitem":
            alias[node.name] = name(args[0])
        elif op in ("var_mean", "permute", "_assert_tensor_metadata"):
            continue  # written where they are used; or nothing to do
        elif op == "addmm":
            bias, x, weight = args
            assert weight.target.__name__ == "permute.default"
            nodes[node.name] = ["linear", node.name, [name(x), weight.args[0].name, bias.name], {}]
        elif op in ("mean", "sum"):
            settings = {"axes": args[1], "keep": len(args) > 2 and args[2]}
            nodes[node.name] = [op, node.name, [name(args[0])], settings]
        elif op == "view":
            nodes[node.name] = [op, node.name, [name(args[0])], {"shape": args[1]}]
        elif op == "cat":
            nodes[node.name] = [op, node.name, [name(a) for a in args[0]], {"axis": args[1]}]
        elif op == "avg_pool2d":
            assert args[1] == args[2] and args[3] == [0, 0]  # may be cut off at the border
            settings = {"size": args[1][0], "ceil": args[4]}
            nodes[node.name] = ["avg_pool", node.name, [name(args[0])], settings]
        elif op == "_softmax":
            nodes[node.name] = ["softmax", node.name, [name(args[0])], {}]
        elif op in ("relu", "sigmoid", "rsqrt", "add", "sub", "mul", "div"):
            nodes[node.name] = [op, node.name, [name(a) for a in args], {}]
        else:
            raise ValueError(
                f"operator {node.target} is none of the interpreter's: add it to net.js and here"
            )
    used = [i for _, _, inside, _ in nodes.values() for i in inside if i in tensors]
    tensors = {key: tensors[key] for key in dict.fromkeys(used)}
    short = {
        key: f"w{k}" for k, key in enumerate(tensors)
    }  # names cost as much as a thousand weights
    short |= {key: f"x{k}" for k, key in enumerate(signature.user_inputs)}
    short |= {key: f"v{k}" for k, key in enumerate(nodes)}
    places, at = {}, 0
    for key, value in tensors.items():
        places[short[key]] = {"shape": list(value.shape), "at": at}
        at += value.numel()
    numbers = torch.cat([value.flatten().half() for value in tensors.values()])
    return {
        "inputs": [short[key] for key in signature.user_inputs],
        "output": short[list(nodes)[-1]],
        "gates": [short[key] for key, node in nodes.items() if node[0] == "sigmoid"],
        "nodes": [
            [op, short[key], [short.get(i, i) for i in inside], how]
            for op, key, inside, how in nodes.values()
        ],
        "tensors": places,
        "weights": base64(numbers.numpy()),
    }


def base64(values: np.ndarray) -> str:
    """Give the bytes of an array as text."""
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()


# ---- eyes whose spots can be moved

N_LESIONS, N_AROUND, MARGIN = 6, 15, 0.02
SMALL, LARGE = 0.050, 0.085  # radius of a spot
BLOOD, EXUDATE, DARKEST = (0.38, 1.25, 1.35), (0.99, 0.86, 0.46), 0.015
WHOLE_TURN = 2 * math.pi


def numbers_of(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a test phantom's own random numbers again: its light's, and its spots'."""
    generator = np.random.default_rng((0, 2, index))
    return generator.random(16, np.float32), generator.random((8, N_LESIONS + N_AROUND), np.float32)


def spots_of(index: int) -> list[dict]:
    """List a test phantom's spots as `medattn.datasets.phantoms.spots` places them; see `eyes`."""
    light, own = numbers_of(index)
    order, along, across, radius, stretch, turn, kind, strength = own
    fewest, most = ((0, 0), (1, 2), (4, 6))[index % 3]
    n_inside = fewest + int(light[8] * (most - fewest + 1))
    n_around = int(light[9] * (N_AROUND + 1))
    rank = np.concatenate([each.argsort().argsort() for each in np.split(order, [N_LESIONS])])
    spots = []
    for k in range(N_LESIONS + N_AROUND):
        inside = k < N_LESIONS
        if rank[k] >= (n_inside if inside else n_around):
            continue
        sector = k - (0 if inside else N_LESIONS) + 0.5 + 0.6 * (along[k] - 0.5)
        if inside:
            angle = WHOLE_TURN * (sector / N_LESIONS + along[0])
        else:
            angle = (WHOLE_TURN - math.radians(50)) * (sector / N_AROUND - 0.5)
        towards = np.array([math.cos(angle), math.sin(angle)])
        size = SMALL + (LARGE - SMALL) * radius[k]
        largest = size * 1.25 * 1.12
        if inside:
            nearest, farthest = 0.13, REGION_RADIUS - largest - MARGIN
        else:
            ahead = towards @ FOVEA
            nearest = REGION_RADIUS + largest + MARGIN
            farthest = (
                math.sqrt(ahead**2 - math.hypot(*FOVEA) ** 2 + (VIEW - 0.03 - largest) ** 2) - ahead
            )
        away = math.sqrt(nearest**2 + max(0, farthest**2 - nearest**2) * across[k])
        x, y = np.array(FOVEA) + towards * away
        values = {"x": x, "y": y, "radius": size, "stretch": 0.8 + 0.45 * stretch[k]}
        values |= {"turn": math.pi * turn[k], "strength": 0.8 + 0.4 * strength[k]}
        spots.append({key: round(float(value), 4) for key, value in values.items()})
        spots[-1]["dark"] = bool(kind[k] < 0.5)
    return spots


def lamp_of(index: int) -> list[float]:
    """Give where the light of a test phantom is brightest, x and y, and how strong it is."""
    light, _ = numbers_of(index)
    angle, far = WHOLE_TURN * light[10], 0.1 + 0.5 * light[11]
    return [
        round(float(v), 4)
        for v in (math.cos(angle) * far, math.sin(angle) * far, 0.9 + 0.2 * light[12])
    ]


def compose(bare: np.ndarray, lamp: list[float], spots: list[dict]) -> np.ndarray:
    """Draw spots on an eye without any (3, H, W), as eye.js does; bytes as float."""
    size = bare.shape[-1]
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    layers = {True: np.zeros((size, size)), False: np.zeros((size, size))}
    for spot in spots:
        dx, dy, turn = x - spot["x"], y - spot["y"], spot["turn"]
        along = (dx * np.cos(turn) + dy * np.sin(turn)) / spot["stretch"]
        across = (dy * np.cos(turn) - dx * np.sin(turn)) * spot["stretch"]
        around = np.arctan2(across, along)
        wave = (np.cos(3 * around + 11 * turn) + np.cos(5 * around - 7 * turn)) / 2
        border = spot["radius"] * (1 + 0.12 * wave)
        soft = max(0.16 * spot["radius"], 0.6 / size)
        profile = spot["strength"] / (1 + np.exp((np.hypot(along, across) - border) / soft))
        layers[spot["dark"]] = np.maximum(layers[spot["dark"]], profile)
    light = (1.08 - 0.3 * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)) * lamp[2]
    light = np.maximum(light, 0.1) / (1 + np.exp((np.hypot(x, y) - VIEW) / (0.8 / size)))
    cover = np.minimum(1, 0.62 * layers[False])
    out = []
    for plane, blood, exudate in zip(bare / 255, BLOOD, EXUDATE, strict=True):
        seen = (plane - DARKEST) * np.exp(-0.75 * layers[True] * blood)
        out.append(seen * (1 - cover) + exudate * light * cover + DARKEST)
    return np.clip(np.round(255 * np.array(out)), 0, 255)


def eyes() -> tuple[list[dict], np.ndarray]:
    """Give eyes without spots, what it takes to draw spots on them, and images with their own.

    Raises AssertionError where these are not the test phantoms, but for the noise within a spot.
    """
    bare = draw(N_EYES, 28, "test", contrast=0).images.numpy()
    real = draw(N_EYES, 28, "test").images.numpy().astype(float)
    made, composed = [], []
    for k in range(N_EYES):
        spots, lamp = spots_of(k), lamp_of(k)
        composed.append(compose(bare[k].astype(float), lamp, spots))
        error = np.abs(composed[k] - real[k])
        assert error.mean() < 0.5 and error.max() < 20, (k, error.mean(), error.max())
        made.append({"bare": base64(bare[k]), "lamp": lamp, "spots": spots, "label": k % 3})
    return made, np.array(composed)


# ---- what is said of the networks


@torch.no_grad()
def accuracies(network: Whole, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Give the accuracy of a PPCR network: its own gates, all at 1/2, and another image's."""
    kept: dict[int, Tensor] = {}
    change = {
        "own": lambda g: g,
        "half": lambda g: torch.full_like(g, 0.5),
        "other": lambda g: g.roll(1, 0),
    }
    result = {}
    for name, how in change.items():

        def hook(module, _inputs, gate, how=how, name=name):
            kept[id(module)] = gate if name == "own" else kept[id(module)]
            return how(kept[id(module)])

        hooks = [
            site.module.integrate.register_forward_hook(hook)
            for site in attention_sites(network.network)
        ]
        result[name] = (network(images).argmax(1) == labels).float().mean().item()
        for each in hooks:
            each.remove()
    return result


def learned_maps() -> dict[str, list[dict]]:
    """Read notebook 12's recorded maps, seeds 0 to 4, and their own networks' accuracies."""
    table = list(csv.DictReader((RESULTS / "global_maps.csv").open()))
    scored = {row["run"]: row for row in csv.DictReader((RESULTS / "runs.csv").open())}
    found: dict[str, list[dict]] = {"global": [], "principal": [], "l1": []}
    for row in sorted(table, key=lambda row: int(row["seed"])):
        if row["dataset"] == "phantoms" and int(row["seed"]) < 5 and row["arm"] in found:
            values = load_file(RESULTS / "runs" / row["run"] / "map.safetensors")["after"]
            own = round(float(scored[row["run"]]["accuracy"]), 4)
            one = {
                "map": base64(values.half().numpy()),
                "own": own,
                "auc": round(float(row["auc_after"]), 3),
            }
            found[row["arm"]].append(one | {"run": row["run"]})
    return found


def map_of(entry: dict) -> Tensor:
    """Decode a map of `learned_maps`. Shape: (1, 1, 28, 28)."""
    values = np.frombuffer(b64decode(entry["map"]), np.float16).reshape(1, 1, 28, 28)
    return torch.from_numpy(values.astype(np.float32))


def write(name: str, value: object) -> None:
    """Write data/NAME.js, which adds the value to DATA."""
    text = json.dumps(value, separators=(",", ":"))
    path = DATA / f"{name}.js"
    path.write_text(f"(globalThis.DATA ??= {{}}).{name} = {text};\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


@torch.no_grad()
def main() -> None:
    """Train, check, write."""
    torch.set_num_threads(1)
    data = load_dataset("phantoms", 28)
    test, labels = data.test.images.float(), data.test.labels
    assert data.region is not None and tuple(data.classes) == CLASSES
    with torch.enable_grad():
        runs = {name: fit(TOUR.replace(attention=name)) for name in ("ppcr", "none")}
        behind = train_behind()
    ppcr, plain = (Whole(runs[name].network(), TOUR.normalise).eval() for name in ("ppcr", "none"))

    made, composed = eyes()
    kept = accuracies(ppcr, test, labels)
    kept["plain"] = (plain(test).argmax(1) == labels).float().mean().item()
    print("accuracy on 300 test phantoms:", {name: round(value, 3) for name, value in kept.items()})
    one = test[:1]
    write("ppcr", graph(ppcr, one) | {"size": 28})
    write("plain", graph(plain, one) | {"size": 28})
    scene = {"classes": CLASSES, "fovea": FOVEA, "radius": REGION_RADIUS, "view": VIEW}
    scene |= {"blood": BLOOD, "exudate": EXUDATE, "darkest": DARKEST}
    scene["accuracy"] = {name: round(value, 3) for name, value in kept.items()}
    write("eyes", scene | {"eyes": made})

    ones, region = torch.ones(1, 1, 28, 28), data.region.float().view(1, 1, 28, 28)
    learned = learned_maps()
    shown = {"ones": ones, "region": region, "rest": 1 - region, "closed": 0 * ones}
    shown |= {
        f"{arm} {k}": map_of(each) for arm, those in learned.items() for k, each in enumerate(those)
    }
    right = {}
    for name, values in shown.items():
        correct = behind(test, values).argmax(1) == labels
        right[name] = int(correct[:N_SIXTY].sum())
        print(f"{name:12s} {int(correct.sum())} of {len(test)}, {right[name]} of {N_SIXTY}")
    for arm, those in learned.items():
        for k, each in enumerate(those):
            each["right"] = right[f"{arm} {k}"]
    write("behind", graph(behind, one, ones) | {"size": 28})
    mean = data.train.images.float().mean(0).round().byte().numpy()
    sixty = {
        "images": base64(data.test.images[:N_SIXTY].numpy()),
        "labels": labels[:N_SIXTY].tolist(),
    }
    sixty |= {"mean": base64(mean), "region": base64(data.region.numpy().astype(np.uint8))}
    sixty |= {
        "classes": CLASSES,
        "grey": [round(255 * value, 2) for value in NORMALISE["imagenet"][0]],
    }
    sixty["right"] = {name: right[name] for name in ("ones", "region")}
    write("sixty", sixty | {"maps": learned})

    def rounded(values: Tensor) -> list:
        return [[round(v, 5) for v in row] for row in values.tolist()]

    drawn = torch.from_numpy(composed).float()
    gates: list[Tensor] = []
    hooks = [
        site.module.integrate.register_forward_hook(lambda _m, _i, gate: gates.append(gate))
        for site in attention_sites(ppcr.network)
    ]
    reference = {"ppcr": rounded(ppcr(test[:N_REFERENCE]))}
    for each in hooks:
        each.remove()
    reference["gates"] = [rounded(g[0, 0]) for g in gates]  # of the first image
    reference |= {"plain": rounded(plain(test[:N_REFERENCE]))}
    reference |= {
        "behind": {
            k: rounded(behind(test[:N_SIXTY], shown[k]))
            for k in ("ones", "region", "global 0", "l1 0")
        }
    }
    reference |= {"eyes": {"ppcr": rounded(ppcr(drawn)), "plain": rounded(plain(drawn))}}
    reference["composed"] = [int(image.sum()) for image in composed]
    REFERENCE.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(f"{REFERENCE.relative_to(ROOT)}: {REFERENCE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
