"""The names of CuPy 14 that the model has: what is not listed here does not exist.

`test_cupy_model_names.py` compares names and signatures with the real CuPy where it is installed.
A function takes its numbers from NumPy's of the same name unless functions.py or creation.py
defines it.
"""

from __future__ import annotations

CONSTANTS = "e euler_gamma inf nan newaxis pi"

TYPES = """
bool bool_ byte short intc int_ long longlong intp int8 int16 int32 int64
ubyte ushort uintc uint ulong ulonglong uintp uint8 uint16 uint32 uint64
half single double float16 float32 float64 csingle cdouble complex64 complex128
generic number integer signedinteger unsignedinteger inexact floating complexfloating
dtype finfo iinfo
"""

# They look at shapes and dtypes only, so their results are on the host.
HOST_FUNCTIONS = """
broadcast_shapes promote_types issubdtype isdtype isscalar iterable ndim shape size
result_type can_cast min_scalar_type common_type iscomplexobj isrealobj isfortran
may_share_memory shares_memory
"""

# CuPy's ufuncs of one and of two operands, and those with two results.
UNARY = """
abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
bitwise_count bitwise_invert bitwise_not cbrt ceil conj conjugate cos cosh deg2rad degrees exp exp2
expm1 fabs floor invert isfinite isinf isnan log log10 log1p log2 logical_not negative positive
rad2deg radians reciprocal rint sign signbit sin sinh sqrt square tan tanh trunc
"""
BINARY = """
add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign
divide equal float_power floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot lcm
ldexp left_shift less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum
minimum mod multiply nextafter not_equal pow power remainder right_shift subtract true_divide
"""
TWO_RESULTS = {"divmod": 2, "frexp": 1, "modf": 1}

FUNCTIONS = """
all(a, axis=None, out=None, keepdims=False)
allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
amax(a, axis=None, out=None, keepdims=False)
amin(a, axis=None, out=None, keepdims=False)
angle(z, deg=False)
any(a, axis=None, out=None, keepdims=False)
append(arr, values, axis=None)
arange(start, stop=None, step=1, dtype=None)
argmax(a, axis=None, dtype=None, out=None, keepdims=False)
argmin(a, axis=None, dtype=None, out=None, keepdims=False)
argpartition(a, kth, axis=-1)
argsort(a, axis=-1, kind=None)
argwhere(a)
around(a, decimals=0, out=None)
array(obj, dtype=None, copy=True, order='K', subok=False, ndmin=0, *, blocking=False)
array_equal(a1, a2, equal_nan=False)
array_split(ary, indices_or_sections, axis=0)
asanyarray(a, dtype=None, order=None, *, copy=None, blocking=False)
asarray(a, dtype=None, order=None, *, copy=None, blocking=False)
ascontiguousarray(a, dtype=None)
asfortranarray(a, dtype=None)
asnumpy(a, stream=None, order='C', out=None, *, blocking=True)
astype(x, dtype, /, *, copy=True)
atleast_1d(*arys)
atleast_2d(*arys)
atleast_3d(*arys)
average(a, axis=None, weights=None, returned=False, *, keepdims=False)
bincount(x, weights=None, minlength=None)
broadcast_arrays(*args)
broadcast_to(array, shape)
clip(a, a_min, a_max, out=None)
column_stack(tup)
compress(condition, a, axis=None, out=None)
concat(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
concatenate(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
convolve(a, v, mode='full')
copy(a, order='K')
copyto(dst, src, casting='same_kind', where=None)
corrcoef(a, y=None, rowvar=True, bias=None, ddof=None, *, dtype=None)
correlate(a, v, mode='valid')
count_nonzero(a, axis=None)
cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None)
cumprod(a, axis=None, dtype=None, out=None)
cumsum(a, axis=None, dtype=None, out=None)
diag(v, k=0)
diagflat(v, k=0)
diagonal(a, offset=0, axis1=0, axis2=1)
diff(a, n=1, axis=-1, prepend=None, append=None)
digitize(x, bins, right=False)
dot(a, b, out=None)
dsplit(ary, indices_or_sections)
dstack(tup)
einsum(*operands, **kwargs)
empty(shape, dtype=float, order='C')
empty_like(prototype, dtype=None, order='K', subok=None, shape=None)
expand_dims(a, axis)
extract(condition, a)
eye(N, M=None, k=0, dtype=float, order='C')
fill_diagonal(a, val, wrap=False)
flatnonzero(a)
flip(a, axis=None)
fliplr(a)
flipud(a)
full(shape, fill_value, dtype=None, order='C')
full_like(a, fill_value, dtype=None, order='K', subok=None, shape=None)
get_array_module(*args)
get_default_memory_pool()
gradient(f, *varargs, axis=None, edge_order=1)
histogram(x, bins=10, range=None, density=False, weights=None)
hsplit(ary, indices_or_sections)
hstack(tup, *, dtype=None, casting='same_kind')
identity(n, dtype=float)
imag(val)
indices(dimensions, dtype=int)
inner(a, b)
interp(x, xp, fp, left=None, right=None, period=None)
is_available()
isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)
isin(element, test_elements, assume_unique=False, invert=False)
isneginf(x, out=None)
isposinf(x, out=None)
isreal(x)
kron(a, b)
lexsort(keys)
linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0)
load(file, mmap_mode=None, allow_pickle=None)
logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0)
matmul(*args, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, \
signature=None, order='K', out=None)
matrix_transpose(x, /)
max(a, axis=None, out=None, keepdims=False)
mean(a, axis=None, dtype=None, out=None, keepdims=False)
median(a, axis=None, out=None, overwrite_input=False, keepdims=False)
meshgrid(*xi, **kwargs)
min(a, axis=None, out=None, keepdims=False)
moveaxis(a, source, destination)
nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None)
nanargmax(a, axis=None, dtype=None, out=None, keepdims=False)
nanargmin(a, axis=None, dtype=None, out=None, keepdims=False)
nancumsum(a, axis=None, dtype=None, out=None)
nanmax(a, axis=None, out=None, keepdims=False)
nanmean(a, axis=None, dtype=None, out=None, keepdims=False)
nanmedian(a, axis=None, out=None, overwrite_input=False, keepdims=False)
nanmin(a, axis=None, out=None, keepdims=False)
nanprod(a, axis=None, dtype=None, out=None, keepdims=False)
nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
nansum(a, axis=None, dtype=None, out=None, keepdims=False)
nanvar(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
nonzero(a)
ones(shape, dtype=float, order='C')
ones_like(a, dtype=None, order='K', subok=None, shape=None)
outer(a, b, out=None)
pad(array, pad_width, mode='constant', **kwargs)
partition(a, kth, axis=-1)
percentile(a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False, \
*, interpolation=None)
permute_dims(a, axes=None)
place(arr, mask, vals)
prod(a, axis=None, dtype=None, out=None, keepdims=False)
ptp(a, axis=None, out=None, keepdims=False)
put(a, ind, v, mode='wrap')
put_along_axis(arr, indices, values, axis)
putmask(a, mask, values)
quantile(a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False, \
*, interpolation=None)
ravel(a, order='C')
real(val)
repeat(a, repeats, axis=None)
reshape(a, newshape, order='C', *, copy=None)
roll(a, shift, axis=None)
rollaxis(a, axis, start=0)
rot90(a, k=1, axes=(0, 1))
round(a, decimals=0, out=None)
save(file, arr, allow_pickle=None)
searchsorted(a, v, side='left', sorter=None)
sort(a, axis=-1, kind=None)
split(ary, indices_or_sections, axis=0)
squeeze(a, axis=None)
stack(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(a, axis=None, dtype=None, out=None, keepdims=False)
swapaxes(a, axis1, axis2)
take(a, indices, axis=None, out=None)
take_along_axis(a, indices, axis)
tensordot(a, b, axes=2)
tile(A, reps)
trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None)
transpose(a, axes=None)
trapezoid(y, x=None, dx=1.0, axis=-1)
tri(N, M=None, k=0, dtype=float)
tril(m, k=0)
tril_indices(n, k=0, m=None)
triu(m, k=0)
triu_indices(n, k=0, m=None)
unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, \
equal_nan=True)
unravel_index(indices, dims, order='C')
unwrap(p, discont=None, axis=-1, *, period=6.283185307179586)
var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
vdot(a, b)
vsplit(ary, indices_or_sections)
vstack(tup, *, dtype=None, casting='same_kind')
where(condition, x=None, y=None)
zeros(shape, dtype=float, order='C')
zeros_like(a, dtype=None, order='K', subok=None, shape=None)
"""

LINALG = """
cholesky(a)
cond(x, p=None)
det(a)
eig(a)
eigh(a, UPLO='L')
eigvals(a)
eigvalsh(a, UPLO='L')
inv(a)
lstsq(a, b, rcond=None)
matrix_power(M, n)
matrix_rank(M, tol=None)
matrix_transpose(a)
norm(x, ord=None, axis=None, keepdims=False)
pinv(a, rcond=1e-15)
qr(a, mode='reduced')
slogdet(a)
solve(a, b)
svd(a, full_matrices=True, compute_uv=True)
"""

FFT = """
fft(a, n=None, axis=-1, norm=None)
fftfreq(n, d=1.0)
fftshift(x, axes=None)
ifft(a, n=None, axis=-1, norm=None)
ifftshift(x, axes=None)
irfft(a, n=None, axis=-1, norm=None)
rfft(a, n=None, axis=-1, norm=None)
rfftfreq(n, d=1.0)
"""

METHODS = """
all(self, axis=None, out=None, keepdims=False)
any(self, axis=None, out=None, keepdims=False)
argmax(self, axis=None, out=None, dtype=None, keepdims=False)
argmin(self, axis=None, out=None, dtype=None, keepdims=False)
argpartition(self, kth, axis=-1)
argsort(self, axis=-1, kind=None)
astype(self, dtype, order='K', casting=None, subok=None, copy=True)
clip(self, min=None, max=None, out=None)
compress(self, condition, axis=None, out=None)
conj(self)
conjugate(self)
copy(self, order='C')
cumprod(self, axis=None, dtype=None, out=None)
cumsum(self, axis=None, dtype=None, out=None)
diagonal(self, offset=0, axis1=0, axis2=1)
dot(self, b, out=None)
fill(self, value)
flatten(self, order='C')
max(self, axis=None, out=None, keepdims=False)
mean(self, axis=None, dtype=None, out=None, keepdims=False)
min(self, axis=None, out=None, keepdims=False)
nonzero(self)
partition(self, kth, axis=-1)
prod(self, axis=None, dtype=None, out=None, keepdims=None)
ptp(self, axis=None, out=None, keepdims=False)
put(self, indices, values, mode='wrap')
ravel(self, order='C')
repeat(self, repeats, axis=None)
reshape(self, *shape, order='C', copy=None)
round(self, decimals=0, out=None)
searchsorted(self, v, side='left', sorter=None)
sort(self, axis=-1, kind=None)
squeeze(self, axis=None)
std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(self, axis=None, dtype=None, out=None, keepdims=False)
swapaxes(self, axis1, axis2)
take(self, indices, axis=None, out=None)
trace(self, offset=0, axis1=0, axis2=1, dtype=None, out=None)
transpose(self, *axes)
var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
view(self, dtype=None, type=None)
"""


def signatures(table: str):
    """The lines of a table as pairs of a name and the signature after it."""
    for line in table.split("\n"):
        if line:
            name = line.partition("(")[0]
            yield name, line[len(name) :]
