"""A model of the part of CuPy that the project uses, on arrays in the host's memory.

It is there to be strict where CuPy is: what fails, waits or moves on a GPU does so here. `names`
lists what exists; `array`, `ufunc`, `creation`, `functions`, `indexing` and `interchange` are the
arrays; `memory`, `properties`, `device`, `streams`, `kernels` and `errors` the machine; `transfers`
what moved; `module` puts them in CuPy's place.

Known to differ from CuPy 14:

- Everything is done when it is asked for. A race between streams, or between the host and a kernel,
  is not seen; an event's time is the host's.
- One device. A pool of bytes without fragments; no pinned or managed memory, no graphs.
- Numbers are NumPy's: a sum is added up in another order on a GPU, and exp, tanh and the like may
  differ in their last bits. Factorizations are LAPACK's, whose signs cuSOLVER need not share.
- Stricter: a function of CuPy that happens to pass a NumPy array or a list on to NumPy refuses it
  here. Writing past the end of a block is an error after the launch, not another array's ruin.
- Of several values assigned to one element the first wins; on a GPU any may.
- Registers are not counted: every kernel is said to have `kernels.REGISTERS`. A cooperative launch
  that is too large fails as the driver fails it.
- `cupy.random`, `cupyx`, `ElementwiseKernel` and whatever else is not in `names` do not exist.
"""
