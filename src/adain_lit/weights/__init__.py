"""Load encoders, loss networks and whole networks by name or from a file, and save them."""

from adain_lit.weights.encoders import load_encoder, load_loss_network
from adain_lit.weights.networks import load_network, save_encoder, save_network

__all__ = ["load_encoder", "load_loss_network", "load_network", "save_encoder", "save_network"]
