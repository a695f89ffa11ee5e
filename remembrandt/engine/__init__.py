"""Many requests, one batch. `engine` paints, `request` checks, `recipe` writes into the picture."""
