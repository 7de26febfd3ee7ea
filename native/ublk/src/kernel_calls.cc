#include "kernel_calls.h"

#include <cstring>

namespace {

napi_value outside(napi_env env) {
  napi_throw_range_error(env, nullptr, "kernel range lies outside mapped memory");
  return nullptr;
}

bool refuse(napi_env env) {
  outside(env);
  return false;
}

uint8_t* pointer(double address) {
  return reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(address));
}

napi_value number(napi_env env, uint32_t value) {
  napi_value result = nullptr;
  napi_create_uint32(env, value, &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

// What the calls below do, however they get their numbers; false with an exception pending.

bool doXor(napi_env env, State& state, double target, const double* addresses, double counted,
           double bytes) {
  const auto count = static_cast<size_t>(counted);
  const uint8_t* sources[kXorSourcesMax];
  for (size_t index = 0; index < count; index += 1) {
    if (!state.ranges.contains(addresses[index], bytes, false)) return refuse(env);
    sources[index] = pointer(addresses[index]);
  }
  if (!state.ranges.contains(target, bytes, true)) return refuse(env);
  state.kernels->xorBytes(pointer(target), sources, count, static_cast<size_t>(bytes));
  return true;
}

bool isSeed(napi_env env, double seed) {
  if (seed >= 0 && seed <= 4294967295.0) return true;
  napi_throw_range_error(env, nullptr, "the seed is not a 32-bit number");
  return false;
}

bool doCrc32cRaw(napi_env env, State& state, double seed, double at, double bytes, uint32_t* out) {
  if (!isSeed(env, seed)) return false;
  if (!state.ranges.contains(at, bytes, false)) return refuse(env);
  *out = state.kernels->crc32cRaw(static_cast<uint32_t>(seed), pointer(at),
                                  static_cast<size_t>(bytes));
  return true;
}

bool doCopyCrc32cRaw(napi_env env, State& state, double seed, double to, double from, double bytes,
                     uint32_t* out) {
  if (!isSeed(env, seed)) return false;
  if (!state.ranges.contains(to, bytes, true)) return refuse(env);
  if (!state.ranges.contains(from, bytes, false)) return refuse(env);
  *out = state.kernels->copyCrc32cRaw(static_cast<uint32_t>(seed), pointer(to), pointer(from),
                                      static_cast<size_t>(bytes));
  return true;
}

// memmove, so that ranges which overlap by mistake give what copyWithin gives.
void doCopy(napi_env env, State& state, double to, double from, double bytes) {
  if (!state.ranges.contains(to, bytes, true) || !state.ranges.contains(from, bytes, false)) {
    outside(env);
    return;
  }
  memmove(pointer(to), pointer(from), static_cast<size_t>(bytes));
}

void doZero(napi_env env, State& state, double at, double bytes) {
  if (!state.ranges.contains(at, bytes, true)) {
    outside(env);
    return;
  }
  memset(pointer(at), 0, static_cast<size_t>(bytes));
}

napi_value callXor(napi_env env, napi_callback_info info) {
  napi_value values[4];
  size_t given = 4;
  void* data = nullptr;
  napi_get_cb_info(env, info, &given, values, nullptr, &data);
  auto* state = static_cast<State*>(data);
  double target = 0;
  double counted = 0;
  double bytes = 0;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* addresses = nullptr;
  if (napi_get_value_double(env, values[0], &target) != napi_ok ||
      napi_get_typedarray_info(env, values[1], &type, &length, &addresses, nullptr, nullptr) !=
          napi_ok ||
      napi_get_value_double(env, values[2], &counted) != napi_ok ||
      napi_get_value_double(env, values[3], &bytes) != napi_ok || type != napi_float64_array) {
    napi_throw_type_error(env, nullptr, "xor takes a number, a Float64Array and two numbers");
    return nullptr;
  }
  if (!(counted >= 1 && counted <= kXorSourcesMax && counted <= static_cast<double>(length))) {
    napi_throw_range_error(env, nullptr, "sources are 1 to 256, and all in the array");
    return nullptr;
  }
  doXor(env, *state, target, static_cast<const double*>(addresses), counted, bytes);
  return nullptr;
}

napi_value callCrc32c(napi_env env, napi_callback_info info) {
  double arguments[2];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!state->ranges.contains(arguments[0], arguments[1], false)) return outside(env);
  return number(env, ~state->kernels->crc32cRaw(0xffffffff, pointer(arguments[0]),
                                                static_cast<size_t>(arguments[1])));
}

napi_value callCrc32cRaw(napi_env env, napi_callback_info info) {
  double arguments[3];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  const auto [seed, at, bytes] = arguments;
  uint32_t crc = 0;
  return doCrc32cRaw(env, *state, seed, at, bytes, &crc) ? number(env, crc) : nullptr;
}

napi_value callCopyCrc32cRaw(napi_env env, napi_callback_info info) {
  double arguments[4];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  const auto [seed, to, from, bytes] = arguments;
  uint32_t crc = 0;
  return doCopyCrc32cRaw(env, *state, seed, to, from, bytes, &crc) ? number(env, crc) : nullptr;
}

napi_value callCopy(napi_env env, napi_callback_info info) {
  double arguments[3];
  State* state = nullptr;
  if (hotArguments(env, info, arguments, &state))
    doCopy(env, *state, arguments[0], arguments[1], arguments[2]);
  return nullptr;
}

napi_value callZero(napi_env env, napi_callback_info info) {
  double arguments[2];
  State* state = nullptr;
  if (hotArguments(env, info, arguments, &state)) doZero(env, *state, arguments[0], arguments[1]);
  return nullptr;
}

napi_value callIsZero(napi_env env, napi_callback_info info) {
  double arguments[2];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!state->ranges.contains(arguments[0], arguments[1], false)) return outside(env);
  return boolean(env, state->kernels->isZero(pointer(arguments[0]),
                                             static_cast<size_t>(arguments[1])));
}

napi_value callEqual(napi_env env, napi_callback_info info) {
  double arguments[3];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!state->ranges.contains(arguments[0], arguments[2], false)) return outside(env);
  if (!state->ranges.contains(arguments[1], arguments[2], false)) return outside(env);
  return boolean(env, memcmp(pointer(arguments[0]), pointer(arguments[1]),
                             static_cast<size_t>(arguments[2])) == 0);
}

// The same with their numbers in State::kernelWords, in the order of the arguments; the result
// follows them. The sources of an xor begin at kKernelSources.

State& wordsOf(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  return *static_cast<State*>(data);
}

napi_value wordsXor(napi_env env, napi_callback_info info) {
  State& state = wordsOf(env, info);
  const double* words = state.kernelWords;
  if (!(words[1] >= 1 && words[1] <= kXorSourcesMax)) {
    napi_throw_range_error(env, nullptr, "sources are 1 to 256");
    return nullptr;
  }
  doXor(env, state, words[0], words + kKernelSources, words[1], words[2]);
  return nullptr;
}

napi_value wordsCrc32cRaw(napi_env env, napi_callback_info info) {
  State& state = wordsOf(env, info);
  double* words = state.kernelWords;
  uint32_t crc = 0;
  if (doCrc32cRaw(env, state, words[0], words[1], words[2], &crc)) words[3] = crc;
  return nullptr;
}

napi_value wordsCopyCrc32cRaw(napi_env env, napi_callback_info info) {
  State& state = wordsOf(env, info);
  double* words = state.kernelWords;
  uint32_t crc = 0;
  if (doCopyCrc32cRaw(env, state, words[0], words[1], words[2], words[3], &crc)) words[4] = crc;
  return nullptr;
}

napi_value wordsCopy(napi_env env, napi_callback_info info) {
  State& state = wordsOf(env, info);
  doCopy(env, state, state.kernelWords[0], state.kernelWords[1], state.kernelWords[2]);
  return nullptr;
}

napi_value wordsZero(napi_env env, napi_callback_info info) {
  State& state = wordsOf(env, info);
  doZero(env, state, state.kernelWords[0], state.kernelWords[1]);
  return nullptr;
}

Napi::Value kernelName(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), stateOf(info).kernels->name);
}

Napi::Value kernelSelect(const Napi::CallbackInfo& info) {
  std::string name;
  if (!stringArgument(info, 0, "name", &name)) return Napi::Value();
  if (name == "portable") {
    stateOf(info).kernels = &portableKernels;
  } else if (name == "auto") {
    stateOf(info).kernels = &bestKernels();
  } else {
    Napi::TypeError::New(info.Env(), "kernels are 'auto' or 'portable'")
        .ThrowAsJavaScriptException();
    return Napi::Value();
  }
  return info.Env().Undefined();
}

}  // namespace

void addKernelCalls(Napi::Env env, Napi::Object exports, State* state) {
  addHotCall(env, exports, "xor", callXor, state);
  addHotCall(env, exports, "crc32c", callCrc32c, state);
  addHotCall(env, exports, "crc32cRaw", callCrc32cRaw, state);
  addHotCall(env, exports, "copyCrc32cRaw", callCopyCrc32cRaw, state);
  addHotCall(env, exports, "copy", callCopy, state);
  addHotCall(env, exports, "zero", callZero, state);
  addHotCall(env, exports, "isZero", callIsZero, state);
  addHotCall(env, exports, "equal", callEqual, state);
  Napi::Object hot = Napi::Object::New(env);
  hot.Set("words", Napi::ArrayBuffer::New(env, state->kernelWords, sizeof state->kernelWords));
  addHotCall(env, hot, "xor", wordsXor, state);
  addHotCall(env, hot, "crc32cRaw", wordsCrc32cRaw, state);
  addHotCall(env, hot, "copyCrc32cRaw", wordsCopyCrc32cRaw, state);
  addHotCall(env, hot, "copy", wordsCopy, state);
  addHotCall(env, hot, "zero", wordsZero, state);
  exports.Set("hotKernels", hot);
  addCall<kernelName>(env, exports, "kernelName", state);
  addCall<kernelSelect>(env, exports, "kernelSelect", state);
}
