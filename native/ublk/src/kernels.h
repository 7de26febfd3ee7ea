// Kernels: the byte loops of the data path, as pure functions over plain memory.
//
// Ownership: none. A kernel neither allocates nor keeps what it was given, has no state but
// constant tables made when the addon is compiled or loaded, and may run on any thread. Callers
// (kernel_calls.cc) have checked every address.
//
// Two tables exist: the portable one, in standard C++ for every processor, and the one for x86 with
// AVX2, SSE4.2 and PCLMULQDQ, which is chosen at run time when the processor has all three.

#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kXorSourcesMax = 256;

struct KernelTable {
  const char* name;
  // target = XOR of sources[0 .. count - 1]; the target may be one of the sources.
  void (*xorBytes)(uint8_t* target, const uint8_t* const* sources, size_t count, size_t bytes);
  // CRC-32C without initial and final inversion.
  uint32_t (*crc32cRaw)(uint32_t seed, const uint8_t* data, size_t bytes);
  // The same of `from`, which is copied on the way; the ranges do not overlap.
  uint32_t (*copyCrc32cRaw)(uint32_t seed, uint8_t* to, const uint8_t* from, size_t bytes);
  bool (*isZero)(const uint8_t* data, size_t bytes);
};

extern const KernelTable portableKernels;
// The table for this kind of processor; null when the processor cannot run it.
const KernelTable* x86Kernels();

inline const KernelTable& bestKernels() {
  const KernelTable* x86 = x86Kernels();
  return x86 != nullptr ? *x86 : portableKernels;
}

