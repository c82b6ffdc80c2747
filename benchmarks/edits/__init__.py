"""When do edits of a latent show in the output? Networks, plans of training, and their scores."""
