#include "ranges.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

std::atomic<uint64_t> rangeGeneration{1};

namespace {

// Never destroyed: worker threads may end after static destructors have run.
std::mutex& registryMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

std::vector<Range>& registry() {
  static auto* ranges = new std::vector<Range>;
  return *ranges;
}

// Guarded by the mutex.
bool lockNewRanges = false;

}  // namespace

int lockPages(uintptr_t start, uintptr_t end) {
  return mlock2(reinterpret_cast<void*>(start), end - start, MLOCK_ONFAULT) == 0 ? 0 : errno;
}

int lockRanges() {
  std::lock_guard<std::mutex> lock(registryMutex());
  for (const Range& range : registry()) {
    const int error = lockPages(range.start, range.end);
    if (error != 0) return error;
  }
  lockNewRanges = true;
  return 0;
}

int lockReplaced(uintptr_t start, uintptr_t end) {
  std::lock_guard<std::mutex> lock(registryMutex());
  return lockNewRanges ? lockPages(start, end) : 0;
}

int addRange(uintptr_t start, size_t bytes, bool writable) {
  std::lock_guard<std::mutex> lock(registryMutex());
  if (lockNewRanges) {
    const int error = lockPages(start, start + bytes);
    if (error != 0) return error;
  }
  auto& ranges = registry();
  const Range added{start, start + bytes, writable};
  ranges.insert(std::upper_bound(ranges.begin(), ranges.end(), added,
                                 [](const Range& a, const Range& b) { return a.start < b.start; }),
                added);
  rangeGeneration.fetch_add(1, std::memory_order_release);
  return 0;
}

void removeRange(uintptr_t start) {
  std::lock_guard<std::mutex> lock(registryMutex());
  auto& ranges = registry();
  std::erase_if(ranges, [start](const Range& range) { return range.start == start; });
  rangeGeneration.fetch_add(1, std::memory_order_release);
}

bool RangeCache::search(uint64_t start, uint64_t end, bool writing) {
  if (generation_ != rangeGeneration.load(std::memory_order_acquire)) {
    std::lock_guard<std::mutex> lock(registryMutex());
    ranges_ = registry();
    generation_ = rangeGeneration.load(std::memory_order_relaxed);
    last_ = {1, 0, false};
  }
  // The last range that starts at or before `start`.
  const auto startsLater = [](uint64_t value, const Range& range) { return value < range.start; };
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), start, startsLater);
  if (after == ranges_.begin()) return false;
  const Range& range = *(after - 1);
  if (end > range.end || (writing && !range.writable)) return false;
  last_ = range;
  return true;
}
