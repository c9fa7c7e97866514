"""Small networks that recipes train from nothing, one a file: of convolutions and ReLU, which int8 makes fast."""
