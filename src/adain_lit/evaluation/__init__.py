"""What is measured of a method of style transfer: losses, similarity, time and memory."""
