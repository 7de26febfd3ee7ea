// State: everything the addon keeps for one JavaScript environment.
//
// Ownership: one State per environment (the main thread and every worker have their own), allocated
// when the module is initialised there and deleted by Node when that environment ends, which closes
// the rings and unmaps the memory that JavaScript did not. It is touched by its own thread only, so
// nothing in it needs a lock. What threads share lives in ranges.h, behind a mutex.
//
// Also here: reading arguments and throwing, because every noun needs them. The addon is compiled
// without C++ exceptions: a function that has thrown returns an empty value at once.

#pragma once

#include <napi.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "kernels.h"
#include "ranges.h"

struct Ring;
struct RingEntry;

// Memory that memoryMap or memoryMapFile made; the key in State is its address.
struct Mapping {
  size_t mappedBytes;
};

// Where the sources of an xor begin among the kernel words.
constexpr size_t kKernelSources = 8;

struct State {
  State();
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  RangeCache ranges;
  const KernelTable* kernels;
  // Shared with JavaScript (NativeHotKernels.words): see src/native/addon.ts.
  double kernelWords[kKernelSources + kXorSourcesMax] = {};
  // A handle is an index plus one and is never used again, so a stale one is always noticed.
  std::vector<std::unique_ptr<Ring>> rings;
  std::vector<std::unique_ptr<RingEntry>> ringEntries;
  std::map<uintptr_t, Mapping> mappings;
};

// Error with `errno` (positive), `code` (its name) and `syscall`, as Node's own errors have them.
void throwErrno(napi_env env, int error, const char* syscall);
// "ENOENT" for 2; "E4242" for a number that has no name.
const char* errnoName(int error, char* buffer, size_t bytes);

// A whole number in [low, high]: true, or false with a TypeError or RangeError pending.
bool wholeNumber(napi_env env, napi_value value, double low, double high, const char* name,
                 double* out);

// The same for argument `index` of a node-addon-api call.
template <typename T>
bool argument(const Napi::CallbackInfo& info, size_t index, double low, double high,
              const char* name, T* out) {
  double value = 0;
  if (!wholeNumber(info.Env(), info[index], low, high, name, &value)) return false;
  *out = static_cast<T>(value);
  return true;
}

// A string argument without NUL bytes: true, or false with a TypeError pending.
bool stringArgument(const Napi::CallbackInfo& info, size_t index, const char* name,
                    std::string* out);

inline State& stateOf(const Napi::CallbackInfo& info) {
  return *static_cast<State*>(info.Data());
}

// Result of a call that answers 0 (or a positive value) or a negative errno.
inline Napi::Value outcome(const Napi::CallbackInfo& info, int value) {
  return Napi::Number::New(info.Env(), value);
}

// Fills `count` doubles from the arguments of a hot call with as little work as Node-API allows;
// false with an exception pending. Missing arguments are not numbers, so they are refused too.
template <size_t count>
inline bool hotArguments(napi_env env, napi_callback_info info, double (&out)[count],
                         State** state) {
  napi_value values[count];
  size_t given = count;
  void* data = nullptr;
  napi_get_cb_info(env, info, &given, values, nullptr, &data);
  *state = static_cast<State*>(data);
  for (size_t index = 0; index < count; index += 1) {
    if (napi_get_value_double(env, values[index], &out[index]) != napi_ok) {
      napi_throw_type_error(env, nullptr, "an argument is not a number");
      return false;
    }
  }
  return true;
}

// Adds a function called through node-addon-api.
template <Napi::Value (*call)(const Napi::CallbackInfo&)>
void addCall(Napi::Env env, Napi::Object exports, const char* name, State* state) {
  exports.Set(name, Napi::Function::New<call>(env, name, state));
}

// Adds a function called through bare Node-API.
void addHotCall(Napi::Env env, Napi::Object exports, const char* name, napi_callback call,
                State* state);
