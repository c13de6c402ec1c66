"""From a name or a file to a network."""

from adain_lit.weights.encoders import load_encoder, load_loss_network
from adain_lit.weights.networks import load_network, save_encoder, save_network

__all__ = ["load_encoder", "load_loss_network", "load_network", "save_encoder", "save_network"]
