"""Write ``compact.onnx``, the graph of the bundled network without its weights, beside ``compact.safetensors``.

``python tools/bundled_graph.py`` after the weights have changed; takes a minute. The graph refers to the weights in the
.safetensors file as ONNX's external data, so that the package holds them once (docs/decisions/0063).
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from adain_lit.inference.graphs import whole_graph
from adain_lit.io.files import write_atomically
from adain_lit.weights.files import BUNDLED, bundled_file
from adain_lit.weights.networks import load_network, read_card

TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def main() -> None:
    """Write the graph."""
    for name in (name for name in BUNDLED if "decoder_widths" in read_card(name)):
        weights = bundled_file(name)
        graph = graph_of(name, weights)
        path = weights.with_suffix(".onnx")
        write_atomically(path, lambda file, graph=graph: onnx.save(graph, file))
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e3:.0f} kB\n")


def graph_of(name: str, weights: Path) -> onnx.ModelProto:
    """The graph of a bundled network, with references into the file of its weights."""
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")  # the length of the header, the header, the tensors
    header = json.loads(content[8:start])
    card = read_card(name) | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    with tempfile.TemporaryDirectory() as folder:
        whole_graph(load_network(name)).onnx(card).save(f"{folder}/whole.onnx")
        model = onnx.load(f"{folder}/whole.onnx")
    casts = []
    for tensor in list(model.graph.initializer):
        entry = header.get(tensor.name.removeprefix("net."))
        if entry is None:
            continue
        assert entry["shape"] == list(tensor.dims), tensor.name
        model.graph.initializer.remove(tensor)
        stored = TensorProto(name=tensor.name, dims=tensor.dims, data_type=TYPES[entry["dtype"]])
        if entry["dtype"] != "F32":
            stored.name += ".stored"
            casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
        stored.data_location = TensorProto.EXTERNAL
        first, end = entry["data_offsets"]
        for key, value in (("location", weights.name), ("offset", start + first), ("length", end - first)):
            stored.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(stored)
    nodes = [*casts, *model.graph.node]  # sorted topologically
    del model.graph.node[:]
    del model.graph.value_info[:]  # sizes of intermediate results, which the runtime infers
    model.graph.node.extend(nodes)
    return model


if __name__ == "__main__":
    main()
