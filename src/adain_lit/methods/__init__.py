"""Style transfer methods, each a function of (content, style) that returns stylised images."""
