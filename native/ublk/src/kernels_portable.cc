#include <cstring>

#include "kernels.h"

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

// Eight tables: entry [n][b] is the checksum of byte b followed by n zero bytes.
struct Tables {
  uint32_t at[8][256];

  constexpr Tables() : at{} {
    for (uint32_t byte = 0; byte < 256; byte += 1) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; bit += 1) value = value >> 1 ^ (value & 1 ? kPolynomial : 0);
      at[0][byte] = value;
    }
    for (uint32_t byte = 0; byte < 256; byte += 1) {
      for (int zeros = 1; zeros < 8; zeros += 1) {
        const uint32_t before = at[zeros - 1][byte];
        at[zeros][byte] = at[0][before & 0xff] ^ before >> 8;
      }
    }
  }
};

constexpr Tables kTables;

uint64_t load64(const uint8_t* from) {
  uint64_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

// Byte n of the data is bits 8n .. 8n+7, whatever the byte order of the processor.
uint64_t loadLittle64(const uint8_t* from) {
  const uint64_t value = load64(from);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap64(value);
#else
  return value;
#endif
}

uint32_t crc32cRaw(uint32_t seed, const uint8_t* data, size_t bytes) {
  uint32_t crc = seed;
  for (; bytes >= 8; bytes -= 8, data += 8) {
    const uint64_t word = loadLittle64(data) ^ crc;
    crc = kTables.at[7][word & 0xff] ^ kTables.at[6][word >> 8 & 0xff] ^
          kTables.at[5][word >> 16 & 0xff] ^ kTables.at[4][word >> 24 & 0xff] ^
          kTables.at[3][word >> 32 & 0xff] ^ kTables.at[2][word >> 40 & 0xff] ^
          kTables.at[1][word >> 48 & 0xff] ^ kTables.at[0][word >> 56];
  }
  for (; bytes > 0; bytes -= 1, data += 1) crc = kTables.at[0][(crc ^ *data) & 0xff] ^ crc >> 8;
  return crc;
}

// A piece at a time, so that the second pass finds it in the first-level cache.
uint32_t copyCrc32cRaw(uint32_t seed, uint8_t* to, const uint8_t* from, size_t bytes) {
  constexpr size_t kPieceBytes = 4096;
  uint32_t crc = seed;
  while (bytes > 0) {
    const size_t piece = bytes < kPieceBytes ? bytes : kPieceBytes;
    memcpy(to, from, piece);
    crc = crc32cRaw(crc, to, piece);
    to += piece;
    from += piece;
    bytes -= piece;
  }
  return crc;
}

// All sources of one cache line before the next line, so that the target is written once.
void xorBytes(uint8_t* target, const uint8_t* const* sources, size_t count, size_t bytes) {
  size_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    uint64_t line[8];
    memcpy(line, sources[0] + at, sizeof line);
    for (size_t source = 1; source < count; source += 1) {
      uint64_t other[8];
      memcpy(other, sources[source] + at, sizeof other);
      for (int word = 0; word < 8; word += 1) line[word] ^= other[word];
    }
    memcpy(target + at, line, sizeof line);
  }
  for (; at < bytes; at += 1) {
    uint8_t value = sources[0][at];
    for (size_t source = 1; source < count; source += 1) value ^= sources[source][at];
    target[at] = value;
  }
}

bool isZero(const uint8_t* data, size_t bytes) {
  for (; bytes >= 64; bytes -= 64, data += 64) {
    uint64_t all = 0;
    for (int word = 0; word < 8; word += 1) all |= load64(data + 8 * word);
    if (all != 0) return false;
  }
  uint8_t all = 0;
  for (; bytes > 0; bytes -= 1, data += 1) all |= *data;
  return all == 0;
}

}  // namespace

const KernelTable portableKernels = {"portable", xorBytes, crc32cRaw, copyCrc32cRaw,
                                     isZero};
