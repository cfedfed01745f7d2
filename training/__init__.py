"""Learn from labelled comments: this package alone needs scikit-learn, and nothing that serves imports it."""
