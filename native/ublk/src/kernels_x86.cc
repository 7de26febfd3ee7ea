#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

#define BANDSTAND_AVX2 __attribute__((target("avx2")))
#define BANDSTAND_CRC __attribute__((target("sse4.2,pclmul")))

BANDSTAND_AVX2 inline __m256i load(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

BANDSTAND_AVX2 inline void store(uint8_t* to, __m256i value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}

// 128 bytes (two cache lines, which also arrive in pairs) of all sources, then one store each: the
// target is written once and never read unless it is a source. With `fixed` > 0 the number of
// sources is known to the compiler, which keeps their addresses in registers.
template <size_t fixed>
BANDSTAND_AVX2 size_t xorBlocks(uint8_t* target, const uint8_t* const* sources, size_t counted,
                                size_t bytes) {
  const size_t count = fixed > 0 ? fixed : counted;
  const uint8_t* from[fixed > 0 ? fixed : kXorSourcesMax];
  for (size_t source = 0; source < count; source += 1) from[source] = sources[source];
  size_t at = 0;
  for (; at + 128 <= bytes; at += 128) {
    __m256i a = load(from[0] + at);
    __m256i b = load(from[0] + at + 32);
    __m256i c = load(from[0] + at + 64);
    __m256i d = load(from[0] + at + 96);
    for (size_t source = 1; source < count; source += 1) {
      a = _mm256_xor_si256(a, load(from[source] + at));
      b = _mm256_xor_si256(b, load(from[source] + at + 32));
      c = _mm256_xor_si256(c, load(from[source] + at + 64));
      d = _mm256_xor_si256(d, load(from[source] + at + 96));
    }
    store(target + at, a);
    store(target + at + 32, b);
    store(target + at + 64, c);
    store(target + at + 96, d);
  }
  return at;
}

void xorBytes(uint8_t* target, const uint8_t* const* sources, size_t count, size_t bytes) {
  size_t at = 0;
  switch (count) {
    case 1: at = xorBlocks<1>(target, sources, count, bytes); break;
    case 2: at = xorBlocks<2>(target, sources, count, bytes); break;
    case 3: at = xorBlocks<3>(target, sources, count, bytes); break;
    case 4: at = xorBlocks<4>(target, sources, count, bytes); break;
    case 5: at = xorBlocks<5>(target, sources, count, bytes); break;
    case 6: at = xorBlocks<6>(target, sources, count, bytes); break;
    case 7: at = xorBlocks<7>(target, sources, count, bytes); break;
    default: at = xorBlocks<0>(target, sources, count, bytes); break;
  }
  if (at == bytes) return;
  const uint8_t* rest[kXorSourcesMax];
  for (size_t source = 0; source < count; source += 1) rest[source] = sources[source] + at;
  portableKernels.xorBytes(target + at, rest, count, bytes - at);
}

BANDSTAND_AVX2 bool isZero(const uint8_t* data, size_t bytes) {
  for (; bytes >= 128; bytes -= 128, data += 128) {
    const __m256i all = _mm256_or_si256(_mm256_or_si256(load(data), load(data + 32)),
                                        _mm256_or_si256(load(data + 64), load(data + 96)));
    if (!_mm256_testz_si256(all, all)) return false;
  }
  return portableKernels.isZero(data, bytes);
}

// --- CRC-32C ------------------------------------------------------------------------------------
//
// The crc32 instruction takes 8 bytes per cycle but answers after three, so three pieces of the
// data are checksummed side by side and the results combined. Moving a checksum c over n words of
// zeros is the product c * x^(64 n) modulo the polynomial. In the bit-reflected world a carry-less
// product comes out one bit low (a factor x), and letting the crc32 instruction reduce the 64-bit
// product multiplies by x^32, so the factor to use is x^(64 n - 33).

// Words per piece, at most. A longer piece saves nothing: combining costs some twenty cycles.
constexpr size_t kPieceWordsMax = 512;
// Words per piece, at least: below, one stream is as fast.
constexpr size_t kPieceWordsMin = 8;

struct ShiftFactors {
  // Entry n is x^(64 n - 33), for n from 1 to twice the longest piece.
  uint32_t at[2 * kPieceWordsMax + 1];

  constexpr ShiftFactors() : at{} {
    // x^0 is the highest bit of a reflected polynomial; multiplying by x shifts right.
    uint32_t power = 0x80000000u;
    for (int step = 0; step < 64 - 33; step += 1) power = timesX(power);
    at[1] = power;
    for (size_t words = 2; words <= 2 * kPieceWordsMax; words += 1) {
      for (int step = 0; step < 64; step += 1) power = timesX(power);
      at[words] = power;
    }
  }

  static constexpr uint32_t timesX(uint32_t value) {
    return value >> 1 ^ (value & 1 ? kPolynomial : 0);
  }
};

const ShiftFactors kShift;

inline uint64_t load64(const uint8_t* from) {
  uint64_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

// The next word, which is stored at `to` as well, if it is to be copied.
template <bool copies>
inline uint64_t take64(const uint8_t* from, uint8_t* to) {
  const uint64_t value = load64(from);
  if (copies) memcpy(to, &value, sizeof value);
  return value;
}

BANDSTAND_CRC inline uint64_t product(uint64_t crc, uint32_t factor) {
  const __m128i left = _mm_cvtsi64_si128(static_cast<int64_t>(crc));
  const __m128i right = _mm_cvtsi64_si128(static_cast<int64_t>(factor));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_clmulepi64_si128(left, right, 0)));
}

// Copying costs nothing where memory keeps up: the loop waits for the crc32 instruction.
template <bool copies>
BANDSTAND_CRC inline uint32_t checksum(uint32_t seed, uint8_t* to, const uint8_t* data,
                                       size_t bytes) {
  uint64_t crc = seed;
  size_t words = bytes / 8;
  while (words >= 3 * kPieceWordsMin) {
    const size_t piece = words / 3 < kPieceWordsMax ? words / 3 : kPieceWordsMax;
    uint64_t second = 0;
    uint64_t third = 0;
    const uint8_t* end = data + 8 * piece;
    const size_t stride = 8 * piece;
    for (; data < end; data += 8) {
      crc = _mm_crc32_u64(crc, take64<copies>(data, to));
      second = _mm_crc32_u64(second, take64<copies>(data + stride, to + stride));
      third = _mm_crc32_u64(third, take64<copies>(data + 2 * stride, to + 2 * stride));
      if (copies) to += 8;
    }
    const uint64_t moved =
        product(crc, kShift.at[2 * piece]) ^ product(second, kShift.at[piece]);
    crc = _mm_crc32_u64(0, moved) ^ third;
    data += 2 * stride;
    if (copies) to += 2 * stride;
    words -= 3 * piece;
  }
  for (; words > 0; words -= 1, data += 8) {
    crc = _mm_crc32_u64(crc, take64<copies>(data, to));
    if (copies) to += 8;
  }
  auto result = static_cast<uint32_t>(crc);
  for (size_t rest = bytes % 8; rest > 0; rest -= 1, data += 1) {
    result = _mm_crc32_u8(result, *data);
    if (copies) *to++ = *data;
  }
  return result;
}

BANDSTAND_CRC uint32_t crc32cRaw(uint32_t seed, const uint8_t* data, size_t bytes) {
  return checksum<false>(seed, nullptr, data, bytes);
}

BANDSTAND_CRC uint32_t copyCrc32cRaw(uint32_t seed, uint8_t* to, const uint8_t* from,
                                     size_t bytes) {
  return checksum<true>(seed, to, from, bytes);
}

const KernelTable kTable = {"avx2+sse4.2", xorBytes, crc32cRaw, copyCrc32cRaw, isZero};

}  // namespace

const KernelTable* x86Kernels() {
  const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("pclmul");
  return able ? &kTable : nullptr;
}

#else

const KernelTable* x86Kernels() { return nullptr; }

#endif
