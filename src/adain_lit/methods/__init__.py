"""Methods of style transfer, each a function of (content, style) that returns images."""
