#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr int kHugePageFlags = MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);
// The largest ArrayBuffer that Node 20 takes from outside.
constexpr double kBytesMax = 4294967296.0;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

struct Mapped {
  void* address;
  size_t bytes;
  bool hugePages;
};

void* anonymous(size_t bytes, int flags) {
  void* address =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return address == MAP_FAILED ? nullptr : address;
}

// Maps one huge page more than needed and gives back what sticks out on both sides, so that
// transparent huge pages can cover all of it.
void* alignedToHugePages(size_t bytes) {
  void* wide = anonymous(bytes + kHugePage, 0);
  if (wide == nullptr) return nullptr;
  const auto base = reinterpret_cast<uintptr_t>(wide);
  const uintptr_t start = roundUp(base, kHugePage);
  const size_t before = start - base;
  const size_t after = kHugePage - before;
  if (before > 0) munmap(wide, before);
  if (after > 0) munmap(reinterpret_cast<void*>(start + bytes), after);
  // Advice: without transparent huge pages the memory is merely slower.
  madvise(reinterpret_cast<void*>(start), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(start);
}

bool mapAnonymous(size_t bytes, bool hugePages, bool transparent, Mapped* out) {
  if (hugePages && !transparent) {
    out->bytes = roundUp(bytes, kHugePage);
    out->address = anonymous(out->bytes, kHugePageFlags);
    out->hugePages = out->address != nullptr;
    if (out->address != nullptr) return true;
  }
  if (!hugePages || !transparent) {
    out->bytes = roundUp(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    out->address = anonymous(out->bytes, 0);
    out->hugePages = false;
    // Advice too: kernels without transparent huge pages refuse it.
    if (out->address != nullptr && !transparent) {
      madvise(out->address, out->bytes, MADV_NOHUGEPAGE);
    }
    return out->address != nullptr;
  }
  out->bytes = roundUp(bytes, kHugePage);
  out->address = anonymous(out->bytes, kHugePageFlags);
  out->hugePages = out->address != nullptr;
  if (out->address == nullptr) out->address = alignedToHugePages(out->bytes);
  return out->address != nullptr;
}

// Hands `mapped` to JavaScript as {memory, address, hugePages}; unmaps it when that fails. The
// range is registered first: once JavaScript has the ArrayBuffer, only detaching it takes it away.
Napi::Value share(const Napi::CallbackInfo& info, const Mapped& mapped, size_t bytes,
                  bool writable) {
  Napi::Env env = info.Env();
  const auto address = reinterpret_cast<uintptr_t>(mapped.address);
  const int error = addRange(address, bytes, writable);
  if (error != 0) {
    munmap(mapped.address, mapped.bytes);
    throwErrno(env, error, "mlock2");
    return Napi::Value();
  }
  const Mapping mapping{mapped.bytes};
  napi_value memory = nullptr;
  if (napi_create_external_arraybuffer(env, mapped.address, bytes, nullptr, nullptr, &memory) !=
      napi_ok) {
    releaseMapping(address, mapping);
    if (!env.IsExceptionPending()) throwErrno(env, ENOMEM, "napi_create_external_arraybuffer");
    return Napi::Value();
  }
  stateOf(info).mappings[address] = mapping;
  Napi::Object result = Napi::Object::New(env);
  result.Set("memory", Napi::Value(env, memory));
  result.Set("address", Napi::Number::New(env, static_cast<double>(address)));
  result.Set("hugePages", Napi::Boolean::New(env, mapped.hugePages));
  return result;
}

Napi::Value memoryMap(const Napi::CallbackInfo& info) {
  size_t bytes = 0;
  if (!argument(info, 0, 1, kBytesMax, "bytes", &bytes)) return Napi::Value();
  Mapped mapped{};
  const bool transparent = info[2].IsUndefined() || info[2].ToBoolean();
  if (!mapAnonymous(bytes, info[1].ToBoolean(), transparent, &mapped)) {
    throwErrno(info.Env(), errno, "mmap");
    return Napi::Value();
  }
  // A child process must never share pages into which a device is writing.
  madvise(mapped.address, mapped.bytes, MADV_DONTFORK);
  return share(info, mapped, bytes, true);
}

Napi::Value memoryMapFile(const Napi::CallbackInfo& info) {
  int fd = -1;
  double offset = 0;
  size_t bytes = 0;
  if (!argument(info, 0, 0, INT32_MAX, "fd", &fd)) return Napi::Value();
  if (!argument(info, 1, 0, 9007199254740991.0, "offset", &offset)) return Napi::Value();
  if (!argument(info, 2, 1, kBytesMax, "bytes", &bytes)) return Napi::Value();
  const bool writable = info[3].ToBoolean();
  Mapped mapped{nullptr, roundUp(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE))), false};
  mapped.address = mmap(nullptr, mapped.bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
                        fd, static_cast<off_t>(offset));
  if (mapped.address == MAP_FAILED) {
    throwErrno(info.Env(), errno, "mmap");
    return Napi::Value();
  }
  return share(info, mapped, bytes, writable);
}

// The mapping of this thread behind an ArrayBuffer, or the end with a TypeError pending.
std::map<uintptr_t, Mapping>::iterator ownMapping(const Napi::CallbackInfo& info) {
  State& state = stateOf(info);
  void* data = nullptr;
  size_t bytes = 0;
  auto found = state.mappings.end();
  if (napi_get_arraybuffer_info(info.Env(), info[0], &data, &bytes) == napi_ok && data != nullptr) {
    found = state.mappings.find(reinterpret_cast<uintptr_t>(data));
  }
  if (found == state.mappings.end()) {
    Napi::TypeError::New(info.Env(), "not memory that this thread has mapped")
        .ThrowAsJavaScriptException();
  }
  return found;
}

// What is behind the addresses changes, and nothing else: ranges and the ArrayBuffer stay.
Napi::Value memoryPlaceFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto found = ownMapping(info);
  if (found == stateOf(info).mappings.end()) return Napi::Value();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t mappedBytes = found->second.mappedBytes;
  size_t at = 0;
  int fd = -1;
  size_t bytes = 0;
  if (!argument(info, 1, 0, kBytesMax, "at", &at) || !argument(info, 2, 0, INT32_MAX, "fd", &fd) ||
      !argument(info, 3, 1, kBytesMax, "bytes", &bytes)) {
    return Napi::Value();
  }
  if (at % page != 0 || bytes % page != 0 || at + bytes > mappedBytes) {
    Napi::RangeError::New(env, "not whole pages of the memory").ThrowAsJavaScriptException();
    return Napi::Value();
  }
  const uintptr_t start = found->first + at;
  void* place = reinterpret_cast<void*>(start);
  if (mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    throwErrno(env, errno, "mmap");
    return Napi::Value();
  }
  madvise(place, bytes, MADV_DONTFORK);
  const int error = lockReplaced(start, start + bytes);
  if (error != 0) throwErrno(env, error, "mlock2");
  return env.Undefined();
}

Napi::Value memoryUnmap(const Napi::CallbackInfo& info) {
  State& state = stateOf(info);
  const auto found = ownMapping(info);
  if (found == state.mappings.end()) return Napi::Value();
  if (napi_detach_arraybuffer(info.Env(), info[0]) != napi_ok) {
    Napi::Error::New(info.Env(), "the memory cannot be detached").ThrowAsJavaScriptException();
    return Napi::Value();
  }
  releaseMapping(found->first, found->second);
  state.mappings.erase(found);
  return info.Env().Undefined();
}

}  // namespace

void releaseMapping(uintptr_t address, const Mapping& mapping) {
  removeRange(address);
  munmap(reinterpret_cast<void*>(address), mapping.mappedBytes);
}

void addMemoryCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<memoryMap>(env, exports, "memoryMap", state);
  addCall<memoryMapFile>(env, exports, "memoryMapFile", state);
  addCall<memoryPlaceFile>(env, exports, "memoryPlaceFile", state);
  addCall<memoryUnmap>(env, exports, "memoryUnmap", state);
}
