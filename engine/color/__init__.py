"""Color: OCIO colorspaces, the encoding that networks see, and frames out for painting and back."""
