// The mathematical functions that CUDA C++ has without a header, for float and double.
//
// They are the C library's, so they are not CUDA's to the last bit: both keep within a unit or two
// in the last place.

#pragma once

extern "C" {
double exp(double) noexcept;
double log(double) noexcept;
double log1p(double) noexcept;
double expm1(double) noexcept;
double tanh(double) noexcept;
double sinh(double) noexcept;
double cosh(double) noexcept;
double sin(double) noexcept;
double cos(double) noexcept;
double pow(double, double) noexcept;
double erf(double) noexcept;
double sqrt(double) noexcept;
double fabs(double) noexcept;
double floor(double) noexcept;
double ceil(double) noexcept;
double fma(double, double, double) noexcept;
double fmin(double, double) noexcept;
double fmax(double, double) noexcept;
}

#define EMULATION_FUNCTION(NAME) \
    inline float NAME(float x) { return __builtin_##NAME##f(x); }
EMULATION_FUNCTION(exp)
EMULATION_FUNCTION(log)
EMULATION_FUNCTION(log1p)
EMULATION_FUNCTION(expm1)
EMULATION_FUNCTION(tanh)
EMULATION_FUNCTION(sinh)
EMULATION_FUNCTION(cosh)
EMULATION_FUNCTION(sin)
EMULATION_FUNCTION(cos)
EMULATION_FUNCTION(erf)
EMULATION_FUNCTION(sqrt)
EMULATION_FUNCTION(fabs)
EMULATION_FUNCTION(floor)
EMULATION_FUNCTION(ceil)
#undef EMULATION_FUNCTION
inline float pow(float x, float y) { return __builtin_powf(x, y); }
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline float fmin(float x, float y) { return __builtin_fminf(x, y); }
inline float fmax(float x, float y) { return __builtin_fmaxf(x, y); }
// With a suffix, as C has them.
inline float expf(float x) { return exp(x); }
inline float logf(float x) { return log(x); }
inline float tanhf(float x) { return tanh(x); }
inline float sqrtf(float x) { return sqrt(x); }
inline float fabsf(float x) { return fabs(x); }
inline float fmaf(float x, float y, float z) { return fma(x, y, z); }
inline float fminf(float x, float y) { return fmin(x, y); }
inline float fmaxf(float x, float y) { return fmax(x, y); }

template <typename T> inline bool isnan(T x) { return x != x; }
template <typename T> inline bool isinf(T x) { return x == x && x - x != x - x; }
template <typename T> inline bool isfinite(T x) { return x - x == x - x; }

inline int min(int x, int y) { return y < x ? y : x; }
inline int max(int x, int y) { return x < y ? y : x; }
inline unsigned min(unsigned x, unsigned y) { return y < x ? y : x; }
inline unsigned max(unsigned x, unsigned y) { return x < y ? y : x; }
inline long long min(long long x, long long y) { return y < x ? y : x; }
inline long long max(long long x, long long y) { return x < y ? y : x; }
inline float min(float x, float y) { return fmin(x, y); }
inline float max(float x, float y) { return fmax(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

inline float __int_as_float(int bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
inline float __uint_as_float(unsigned bits) { return __int_as_float(static_cast<int>(bits)); }
inline int __float_as_int(float value) {
    int bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline unsigned __float_as_uint(float value) {
    return static_cast<unsigned>(__float_as_int(value));
}
