"""minirnn: recurrent networks in which nothing inside backpropagation through time is hidden."""
