"""Functions of tensors, each with its gradient: what users build around a recurrent layer."""
