// Ring: one io_uring, its queues mapped into JavaScript.
//
// Ownership: a Ring owns its file descriptor and the three mappings; the State of the environment
// that created it owns the Ring. JavaScript writes submission entries and reads completions through
// external ArrayBuffers over the mappings; ringClose detaches them before it unmaps. Everything
// happens on the thread that created the ring.
//
// Division of labour: JavaScript knows which slots it has filled and read; the head and tail words
// that the kernel looks at are published here, with the memory ordering that it needs.

#pragma once

#include <cstddef>

#include "state.h"

// Shared with JavaScript (NativeRing.state): see src/native/addon.ts.
struct RingWords {
  uint32_t pending;
  uint32_t systemCalls;
  // Arguments and result of `enter`, which takes and gives none of its own: each would cost as much
  // as a tenth of what a request costs here.
  uint32_t toSubmit;
  uint32_t minComplete;
  uint32_t consumed;
  int32_t ready;
  double timeoutUs;
};
static_assert(sizeof(RingWords) == 32 && offsetof(RingWords, timeoutUs) == 24);

// What the `enter` of a ring knows. The State owns it, because JavaScript may still call when the
// ring is closed.
struct RingEntry {
  State* state;
  size_t index;
};

struct Ring {
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  int fd = -1;
  // What io_uring_enter is called with: the descriptor, or its number in the thread's own table.
  int enterFd = -1;
  uint32_t enterFlags = 0;
  uint32_t sqEntries = 0;
  uint32_t cqEntries = 0;
  uint32_t sqeBytes = 0;
  uint32_t features = 0;
  uint32_t setupFlags = 0;

  void* sqMap = nullptr;
  size_t sqMapBytes = 0;
  void* cqMap = nullptr;  // Equal to sqMap when the kernel puts both into one mapping.
  size_t cqMapBytes = 0;
  void* sqes = nullptr;
  size_t sqesBytes = 0;
  void* cqes = nullptr;

  uint32_t* kernelSqHead = nullptr;
  uint32_t* kernelSqTail = nullptr;
  uint32_t* kernelSqFlags = nullptr;
  uint32_t* kernelCqHead = nullptr;
  uint32_t* kernelCqTail = nullptr;
  uint32_t* kernelCqOverflow = nullptr;

  uint32_t sqTail = 0;  // Published by us, free-running.
  uint32_t cqHead = 0;  // Likewise.
  bool buffersRegistered = false;
  RingWords words = {};
  napi_ref arrays[3] = {nullptr, nullptr, nullptr};
};

void addRingCalls(Napi::Env env, Napi::Object exports, State* state);
