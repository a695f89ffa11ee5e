"""Many requests, one batch. `request` says what is asked, `engine` paints it, `recipe` writes it into the picture."""
