#include "ring.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "uring_abi.h"

namespace {

// What the code below knows how to drive. Polled and kernel-thread rings follow other rules for
// entering, and wide completions another layout.
constexpr uint32_t kSetupKnown = uring::kSetupCqSize | uring::kSetupClamp |
                                 uring::kSetupSubmitAll | uring::kSetupCoopTaskrun |
                                 uring::kSetupTaskrunFlag | uring::kSetupSqe128 |
                                 uring::kSetupSingleIssuer | uring::kSetupDeferTaskrun;
constexpr uint32_t kEntriesMax = 32768;

template <typename T>
T loadAcquire(const T* from) {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

template <typename T>
void storeRelease(T* to, T value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

template <typename T>
T* fieldAt(void* map, uint32_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(map) + offset);
}

void* mapRing(int fd, size_t bytes, uint64_t offset) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                   static_cast<off_t>(offset));
  if (map == MAP_FAILED) return nullptr;
  // A child that writes to an inherited ring would corrupt ours.
  madvise(map, bytes, MADV_DONTFORK);
  return map;
}

// Maps the queues of `ring.fd`; false with errno set.
bool mapQueues(Ring& ring, const io_uring_params& params) {
  ring.sqMapBytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  ring.cqMapBytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  const bool single = (params.features & uring::kFeatureSingleMmap) != 0;
  if (single) ring.sqMapBytes = ring.cqMapBytes = std::max(ring.sqMapBytes, ring.cqMapBytes);
  ring.sqMap = mapRing(ring.fd, ring.sqMapBytes, IORING_OFF_SQ_RING);
  if (ring.sqMap == nullptr) return false;
  ring.cqMap = single ? ring.sqMap : mapRing(ring.fd, ring.cqMapBytes, IORING_OFF_CQ_RING);
  if (ring.cqMap == nullptr) return false;
  ring.sqesBytes = static_cast<size_t>(params.sq_entries) * ring.sqeBytes;
  ring.sqes = mapRing(ring.fd, ring.sqesBytes, IORING_OFF_SQES);
  if (ring.sqes == nullptr) return false;

  ring.kernelSqHead = fieldAt<uint32_t>(ring.sqMap, params.sq_off.head);
  ring.kernelSqTail = fieldAt<uint32_t>(ring.sqMap, params.sq_off.tail);
  ring.kernelSqFlags = fieldAt<uint32_t>(ring.sqMap, params.sq_off.flags);
  ring.kernelCqHead = fieldAt<uint32_t>(ring.cqMap, params.cq_off.head);
  ring.kernelCqTail = fieldAt<uint32_t>(ring.cqMap, params.cq_off.tail);
  ring.kernelCqOverflow = fieldAt<uint32_t>(ring.cqMap, params.cq_off.overflow);
  ring.cqes = fieldAt<void>(ring.cqMap, params.cq_off.cqes);
  // Entry i is always in slot i: the indirection is set up once and never touched again.
  auto* indices = fieldAt<uint32_t>(ring.sqMap, params.sq_off.array);
  for (uint32_t index = 0; index < params.sq_entries; index += 1) indices[index] = index;
  return true;
}

// Puts the ring into the thread's table of rings, which saves the reference counting of a file on
// every entry. The table belongs to a thread, hence only for rings with a single issuer.
void registerRingFd(Ring& ring) {
  uring::ResourceUpdate update{UINT32_MAX, 0, static_cast<uint64_t>(ring.fd)};
  if (uring::registerResource(ring.fd, uring::kRegisterRingFds, &update, 1) != 1) return;
  ring.enterFd = static_cast<int>(update.offset);
  ring.enterFlags = uring::kEnterRegisteredRing;
}

// Opens and maps a ring; on failure returns null with errno and the name of the call set.
std::unique_ptr<Ring> openRing(uint32_t entries, uint32_t cqEntries, uint32_t flags,
                               const char** syscall) {
  io_uring_params params;
  memset(&params, 0, sizeof params);
  params.flags = flags;
  if (cqEntries > 0) {
    params.flags |= uring::kSetupCqSize;
    params.cq_entries = cqEntries;
  }
  // With deferred task work the kernel then tells us in shared memory whether entering is worth it.
  if (flags & (uring::kSetupDeferTaskrun | uring::kSetupCoopTaskrun)) {
    params.flags |= uring::kSetupTaskrunFlag;
  }
  auto ring = std::make_unique<Ring>();
  *syscall = "io_uring_setup";
  ring->fd = uring::setup(entries, &params);
  if (ring->fd < 0) return nullptr;
  ring->enterFd = ring->fd;
  ring->sqEntries = params.sq_entries;
  ring->cqEntries = params.cq_entries;
  ring->sqeBytes = flags & uring::kSetupSqe128 ? 128 : 64;
  ring->features = params.features;
  ring->setupFlags = params.flags;
  if (!(params.features & uring::kFeatureExtArg)) {
    errno = ENOSYS;
    return nullptr;
  }
  *syscall = "mmap";
  if (!mapQueues(*ring, params)) return nullptr;
  if (flags & uring::kSetupSingleIssuer) registerRingFd(*ring);
  return ring;
}

napi_value enterRing(napi_env env, napi_callback_info info);

// Makes an ArrayBuffer over memory of the ring, remembered in `slot` so that it can be detached.
bool shareArray(napi_env env, Ring& ring, int slot, void* data, size_t bytes, napi_value* out) {
  return napi_create_external_arraybuffer(env, data, bytes, nullptr, nullptr, out) == napi_ok &&
         napi_create_reference(env, *out, 1, &ring.arrays[slot]) == napi_ok;
}

void detachArrays(napi_env env, Ring& ring) {
  for (napi_ref& reference : ring.arrays) {
    if (reference == nullptr) continue;
    napi_value array = nullptr;
    if (napi_get_reference_value(env, reference, &array) == napi_ok && array != nullptr) {
      napi_detach_arraybuffer(env, array);
    }
    napi_delete_reference(env, reference);
    reference = nullptr;
  }
}

Napi::Value ringCreate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t entries = 0;
  uint32_t cqEntries = 0;
  uint32_t flags = 0;
  if (!argument(info, 0, 1, kEntriesMax, "entries", &entries)) return Napi::Value();
  if (!argument(info, 1, 0, 2 * kEntriesMax, "cqEntries", &cqEntries)) return Napi::Value();
  if (!argument(info, 2, 0, UINT32_MAX, "flags", &flags)) return Napi::Value();
  if (flags & ~kSetupKnown) {
    Napi::RangeError::New(env, "flags contain a kind of ring that is not supported")
        .ThrowAsJavaScriptException();
    return Napi::Value();
  }
  const char* syscall = "";
  std::unique_ptr<Ring> ring = openRing(entries, cqEntries, flags, &syscall);
  if (ring == nullptr) {
    throwErrno(env, errno, syscall);
    return Napi::Value();
  }
  napi_value sqes = nullptr;
  napi_value cqes = nullptr;
  napi_value words = nullptr;
  if (!shareArray(env, *ring, 0, ring->sqes, ring->sqesBytes, &sqes) ||
      !shareArray(env, *ring, 1, ring->cqes, ring->cqEntries * sizeof(io_uring_cqe), &cqes) ||
      !shareArray(env, *ring, 2, &ring->words, sizeof ring->words, &words)) {
    detachArrays(env, *ring);
    if (!env.IsExceptionPending()) throwErrno(env, ENOMEM, "napi_create_external_arraybuffer");
    return Napi::Value();
  }
  Napi::Object result = Napi::Object::New(env);
  State& state = stateOf(info);
  state.ringEntries.push_back(
      std::make_unique<RingEntry>(RingEntry{&state, state.rings.size()}));
  napi_value enter = nullptr;
  if (napi_create_function(env, "enter", NAPI_AUTO_LENGTH, enterRing,
                           state.ringEntries.back().get(), &enter) != napi_ok) {
    detachArrays(env, *ring);
    if (!env.IsExceptionPending()) throwErrno(env, ENOMEM, "napi_create_function");
    return Napi::Value();
  }
  result.Set("enter", Napi::Value(env, enter));
  result.Set("handle", Napi::Number::New(env, static_cast<double>(state.rings.size() + 1)));
  result.Set("fd", Napi::Number::New(env, ring->fd));
  result.Set("sqEntries", Napi::Number::New(env, ring->sqEntries));
  result.Set("cqEntries", Napi::Number::New(env, ring->cqEntries));
  result.Set("sqeBytes", Napi::Number::New(env, ring->sqeBytes));
  result.Set("sqes", Napi::Value(env, sqes));
  result.Set("cqes", Napi::Value(env, cqes));
  result.Set("state", Napi::Value(env, words));
  result.Set("features", Napi::Number::New(env, ring->features));
  result.Set("setupFlags", Napi::Number::New(env, ring->setupFlags));
  state.rings.push_back(std::move(ring));
  return result;
}

// The ring of a handle, or null with a RangeError pending.
Ring* ringOf(napi_env env, State& state, double handle) {
  if (handle >= 1 && handle <= static_cast<double>(state.rings.size())) {
    Ring* ring = state.rings[static_cast<size_t>(handle) - 1].get();
    if (ring != nullptr) return ring;
  }
  napi_throw_range_error(env, nullptr, "not the handle of an open ring");
  return nullptr;
}

uint32_t readyCount(const Ring& ring) { return loadAcquire(ring.kernelCqTail) - ring.cqHead; }

uint32_t pendingCount(const Ring& ring) { return ring.sqTail - loadAcquire(ring.kernelSqHead); }

// One or more io_uring_enter calls; 0 or the negative errno of a failure that will not pass.
//
// The kernel stops early at an entry that it refuses (its completion tells), so the rest is offered
// again at once. EAGAIN and EBUSY mean that completions have to be reaped first: the rest stays
// queued until the next call. An expired time limit and a signal are ordinary ends of a wait.
int enterKernel(Ring& ring, uint32_t pending, uint32_t minComplete, bool getEvents,
                double timeoutUs) {
  uring::Timespec timespec{};
  uring::GetEventsArgument argument{};
  uint32_t flags = ring.enterFlags | (getEvents ? uring::kEnterGetEvents : 0);
  const bool timed = minComplete > 0 && timeoutUs > 0;
  if (timed) {
    const auto us = static_cast<int64_t>(std::min(timeoutUs, 9e15));
    timespec = {us / 1000000, us % 1000000 * 1000};
    argument.timespec = reinterpret_cast<uintptr_t>(&timespec);
    flags |= uring::kEnterExtArg;
  }
  for (;;) {
    const int taken = uring::enter(ring.enterFd, pending, minComplete, flags,
                                   timed ? &argument : nullptr, timed ? sizeof argument : 0);
    const int error = taken < 0 ? errno : 0;
    ring.words.systemCalls += 1;
    const uint32_t left = pendingCount(ring);
    const bool stuck = left == pending;
    pending = left;
    ring.words.pending = left;
    if (error == ETIME || error == EINTR) return 0;
    if (error == EAGAIN || error == EBUSY) {
      sched_yield();
      return 0;
    }
    if (error != 0) return -error;
    if (pending == 0 || stuck) return 0;
  }
}

int ringEnterCounted(Ring& ring, uint32_t toSubmit, uint32_t minComplete, uint32_t consumed,
                     double timeoutUs) {
  if (consumed > 0) {
    ring.cqHead += consumed;
    storeRelease(ring.kernelCqHead, ring.cqHead);
  }
  if (toSubmit > 0) {
    ring.sqTail += toSubmit;
    storeRelease(ring.kernelSqTail, ring.sqTail);
  }
  const uint32_t pending = pendingCount(ring);
  const uint32_t ready = readyCount(ring);
  ring.words.pending = pending;
  if (timeoutUs == 0) minComplete = 0;
  minComplete = std::min(minComplete, ring.cqEntries);
  const bool wait = minComplete > ready;
  const bool work =
      (__atomic_load_n(ring.kernelSqFlags, __ATOMIC_RELAXED) &
       (uring::kSqTaskrun | uring::kSqCqOverflow)) != 0;
  if (pending == 0 && !wait && !work) return static_cast<int>(ready);
  const bool getEvents = wait || work || (ring.setupFlags & uring::kSetupDeferTaskrun) != 0;
  const int failure = enterKernel(ring, pending, wait ? minComplete : 0, getEvents, timeoutUs);
  return failure != 0 ? failure : static_cast<int>(readyCount(ring));
}

// False with an exception pending: the numbers do not fit the ring.
bool fits(napi_env env, const Ring& ring, double toSubmit, double minComplete, double consumed,
          double timeoutUs) {
  if (!(toSubmit >= 0 && toSubmit <= ring.sqEntries - pendingCount(ring))) {
    napi_throw_range_error(env, nullptr, "more entries than the submission queue has room for");
    return false;
  }
  if (!(consumed >= 0 && consumed <= readyCount(ring))) {
    napi_throw_range_error(env, nullptr, "more completions consumed than were ready");
    return false;
  }
  if (!(minComplete >= 0 && minComplete <= UINT32_MAX) || timeoutUs != timeoutUs) {
    napi_throw_range_error(env, nullptr, "not a count or not a time limit");
    return false;
  }
  return true;
}

napi_value ringEnter(napi_env env, napi_callback_info info) {
  double arguments[5];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  Ring* ring = ringOf(env, *state, arguments[0]);
  if (ring == nullptr) return nullptr;
  const auto [handle, toSubmit, minComplete, consumed, timeoutUs] = arguments;
  if (!fits(env, *ring, toSubmit, minComplete, consumed, timeoutUs)) return nullptr;
  const int ready =
      ringEnterCounted(*ring, static_cast<uint32_t>(toSubmit), static_cast<uint32_t>(minComplete),
                       static_cast<uint32_t>(consumed), timeoutUs);
  napi_value result = nullptr;
  napi_create_int32(env, ready, &result);
  return result;
}

// The same for whoever enters with each request; see RingWords.
napi_value enterRing(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const auto* entry = static_cast<const RingEntry*>(data);
  Ring* ring = entry->state->rings[entry->index].get();
  if (ring == nullptr) {
    napi_throw_range_error(env, nullptr, "not the handle of an open ring");
    return nullptr;
  }
  RingWords& words = ring->words;
  if (!fits(env, *ring, words.toSubmit, words.minComplete, words.consumed, words.timeoutUs)) {
    return nullptr;
  }
  words.ready = ringEnterCounted(*ring, words.toSubmit, words.minComplete, words.consumed,
                                 words.timeoutUs);
  return nullptr;
}

// The ring that argument 0 names, or null with an exception pending.
Ring* ringArgument(const Napi::CallbackInfo& info) {
  double handle = 0;
  if (!argument(info, 0, 1, UINT32_MAX, "handle", &handle)) return nullptr;
  return ringOf(info.Env(), stateOf(info), handle);
}

int registerOutcome(const Ring& ring, unsigned operation, const void* argument, unsigned count) {
  return uring::registerResource(ring.fd, operation, argument, count) < 0 ? -errno : 0;
}

Napi::Value ringOverflow(const Napi::CallbackInfo& info) {
  Ring* ring = ringArgument(info);
  if (ring == nullptr) return Napi::Value();
  return Napi::Number::New(info.Env(), loadAcquire(ring->kernelCqOverflow));
}

Napi::Value ringRegisterBuffers(const Napi::CallbackInfo& info) {
  Ring* ring = ringArgument(info);
  if (ring == nullptr) return Napi::Value();
  double* columns[2] = {nullptr, nullptr};
  size_t counts[2] = {0, 0};
  for (int column = 0; column < 2; column += 1) {
    napi_typedarray_type type = napi_int8_array;
    void* data = nullptr;
    if (napi_get_typedarray_info(info.Env(), info[static_cast<size_t>(column) + 1], &type,
                                 &counts[column], &data, nullptr, nullptr) != napi_ok ||
        type != napi_float64_array) {
      Napi::TypeError::New(info.Env(), "addresses and lengths are Float64Arrays")
          .ThrowAsJavaScriptException();
      return Napi::Value();
    }
    columns[column] = static_cast<double*>(data);
  }
  if (counts[0] != counts[1] || counts[0] == 0) {
    Napi::RangeError::New(info.Env(), "as many lengths as addresses, and at least one")
        .ThrowAsJavaScriptException();
    return Napi::Value();
  }
  std::vector<iovec> vectors(counts[0]);
  for (size_t index = 0; index < counts[0]; index += 1) {
    if (!stateOf(info).ranges.contains(columns[0][index], columns[1][index], true)) {
      Napi::RangeError::New(info.Env(), "a buffer lies outside mapped memory")
          .ThrowAsJavaScriptException();
      return Napi::Value();
    }
    vectors[index].iov_base = reinterpret_cast<void*>(static_cast<uintptr_t>(columns[0][index]));
    vectors[index].iov_len = static_cast<size_t>(columns[1][index]);
  }
  if (ring->buffersRegistered) {
    const int result = registerOutcome(*ring, uring::kUnregisterBuffers, nullptr, 0);
    if (result != 0) return outcome(info, result);
    ring->buffersRegistered = false;
  }
  const int result = registerOutcome(*ring, uring::kRegisterBuffers, vectors.data(),
                                     static_cast<unsigned>(vectors.size()));
  ring->buffersRegistered = result == 0;
  return outcome(info, result);
}

Napi::Value ringRegisterFileTable(const Napi::CallbackInfo& info) {
  Ring* ring = ringArgument(info);
  uint32_t count = 0;
  if (ring == nullptr || !argument(info, 1, 1, 32768, "count", &count)) return Napi::Value();
  const uring::ResourceRegister sparse{count, uring::kResourceSparse, 0, 0, 0};
  const int result =
      registerOutcome(*ring, uring::kRegisterFiles2, &sparse, sizeof(uring::ResourceRegister));
  if (result != -EINVAL) return outcome(info, result);
  // Kernels before 5.19 have no sparse tables but take empty slots.
  std::vector<int32_t> slots(count, -1);
  return outcome(info, registerOutcome(*ring, uring::kRegisterFiles, slots.data(), count));
}

Napi::Value ringUpdateFile(const Napi::CallbackInfo& info) {
  Ring* ring = ringArgument(info);
  uint32_t index = 0;
  int32_t fd = -1;
  if (ring == nullptr || !argument(info, 1, 0, 32767, "index", &index) ||
      !argument(info, 2, -1, INT32_MAX, "fd", &fd)) {
    return Napi::Value();
  }
  const uring::ResourceUpdate update{index, 0, reinterpret_cast<uintptr_t>(&fd)};
  return outcome(info, registerOutcome(*ring, uring::kUpdateFiles, &update, 1));
}

Napi::Value ringClose(const Napi::CallbackInfo& info) {
  Ring* ring = ringArgument(info);
  if (ring == nullptr) return Napi::Value();
  detachArrays(info.Env(), *ring);
  stateOf(info).rings[static_cast<size_t>(info[0].As<Napi::Number>().DoubleValue()) - 1].reset();
  return info.Env().Undefined();
}

}  // namespace

Ring::~Ring() {
  if (enterFlags & uring::kEnterRegisteredRing) {
    const uring::ResourceUpdate update{static_cast<uint32_t>(enterFd), 0, 0};
    uring::registerResource(fd, uring::kUnregisterRingFds, &update, 1);
  }
  if (sqes != nullptr) munmap(sqes, sqesBytes);
  if (cqMap != nullptr && cqMap != sqMap) munmap(cqMap, cqMapBytes);
  if (sqMap != nullptr) munmap(sqMap, sqMapBytes);
  if (fd >= 0) {
    const int kept = errno;
    close(fd);
    errno = kept;
  }
}

void addRingCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<ringCreate>(env, exports, "ringCreate", state);
  addHotCall(env, exports, "ringEnter", ringEnter, state);
  addCall<ringOverflow>(env, exports, "ringOverflow", state);
  addCall<ringRegisterBuffers>(env, exports, "ringRegisterBuffers", state);
  addCall<ringRegisterFileTable>(env, exports, "ringRegisterFileTable", state);
  addCall<ringUpdateFile>(env, exports, "ringUpdateFile", state);
  addCall<ringClose>(env, exports, "ringClose", state);
}
