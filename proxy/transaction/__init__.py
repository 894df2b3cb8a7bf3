"""The four transaction machines and the layer that drives them."""
