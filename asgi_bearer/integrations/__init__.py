"""What joins the library to others: one module per guest, each imports its guest alone. Floor 6."""
