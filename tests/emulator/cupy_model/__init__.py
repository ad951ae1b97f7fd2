"""A model of the part of CuPy that the project uses, on arrays in the host's memory.

It is there to be strict where CuPy is: what fails, waits or moves on a GPU does so here. `names`
lists what exists; `array`, `ufunc`, `creation`, `functions`, `indexing` and `interchange` are the
arrays; `memory`, `device`, `streams` and `kernels` the machine; `transfers` what moved.
"""
