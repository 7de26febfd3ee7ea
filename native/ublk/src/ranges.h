// Ranges: which addresses JavaScript may hand to a kernel.
//
// Ownership: the registry belongs to the process, because memory mapped by one thread may be used
// by another; it is guarded by a mutex and changes only when memory is mapped or unmapped. Every
// environment keeps a RangeCache, a private copy of the list, used by its thread alone: a check
// reads one atomic generation number and compares with the range that was hit last, and takes the
// mutex only after the registry has changed.
//
// The check protects against wrong numbers, not against a thread that unmaps memory while another
// one works on it: whoever unmaps must know that nobody uses the range any more.

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

struct Range {
  uintptr_t start;
  uintptr_t end;
  bool writable;
};

// Returns 0, or the positive errno with which locking the range failed (it is not added then).
int addRange(uintptr_t start, size_t bytes, bool writable);
void removeRange(uintptr_t start);
// Locks the pages of all ranges, of every thread, as they come in, and from then on those of new
// ranges too. Returns 0 or a positive errno, after which new ranges are not locked.
int lockRanges();
// Locks a part of a range that was mapped anew, if new ranges are locked; 0 or a positive errno.
int lockReplaced(uintptr_t start, uintptr_t end);
// Locks [start, end) as its pages come in; 0 or a positive errno.
int lockPages(uintptr_t start, uintptr_t end);

extern std::atomic<uint64_t> rangeGeneration;

class RangeCache {
 public:
  // True when [address, address + bytes) lies inside one registered range (and that one may be
  // written, if asked). Numbers that are negative, fractional or NaN are outside of all.
  inline bool contains(double address, double bytes, bool writing) {
    if (!(address >= 0 && address <= kLargest && bytes >= 0 && bytes <= kLargest)) return false;
    const auto start = static_cast<uint64_t>(address);
    const auto length = static_cast<uint64_t>(bytes);
    if (static_cast<double>(start) != address || static_cast<double>(length) != bytes) return false;
    if (generation_ == rangeGeneration.load(std::memory_order_acquire) && start >= last_.start &&
        start + length <= last_.end && (last_.writable || !writing)) {
      return true;
    }
    return search(start, start + length, writing);
  }

 private:
  static constexpr double kLargest = 9007199254740991.0;
  bool search(uint64_t start, uint64_t end, bool writing);

  uint64_t generation_ = 0;
  Range last_ = {1, 0, false};
  std::vector<Range> ranges_;
};
