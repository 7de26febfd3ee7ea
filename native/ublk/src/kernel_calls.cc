#include "kernel_calls.h"

#include <cstring>

namespace {

napi_value outside(napi_env env) {
  napi_throw_range_error(env, nullptr, "kernel range lies outside mapped memory");
  return nullptr;
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
  const auto count = static_cast<size_t>(counted);
  const uint8_t* sources[kXorSourcesMax];
  for (size_t index = 0; index < count; index += 1) {
    const double source = static_cast<const double*>(addresses)[index];
    if (!state->ranges.contains(source, bytes, false)) return outside(env);
    sources[index] = pointer(source);
  }
  if (!state->ranges.contains(target, bytes, true)) return outside(env);
  state->kernels->xorBytes(pointer(target), sources, count, static_cast<size_t>(bytes));
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
  if (!(arguments[0] >= 0 && arguments[0] <= 4294967295.0)) {
    napi_throw_range_error(env, nullptr, "the seed is not a 32-bit number");
    return nullptr;
  }
  if (!state->ranges.contains(arguments[1], arguments[2], false)) return outside(env);
  return number(env, state->kernels->crc32cRaw(static_cast<uint32_t>(arguments[0]),
                                               pointer(arguments[1]),
                                               static_cast<size_t>(arguments[2])));
}

napi_value callCopyCrc32cRaw(napi_env env, napi_callback_info info) {
  double arguments[4];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!(arguments[0] >= 0 && arguments[0] <= 4294967295.0)) {
    napi_throw_range_error(env, nullptr, "the seed is not a 32-bit number");
    return nullptr;
  }
  if (!state->ranges.contains(arguments[1], arguments[3], true)) return outside(env);
  if (!state->ranges.contains(arguments[2], arguments[3], false)) return outside(env);
  return number(env, state->kernels->copyCrc32cRaw(static_cast<uint32_t>(arguments[0]),
                                                   pointer(arguments[1]), pointer(arguments[2]),
                                                   static_cast<size_t>(arguments[3])));
}

// memmove, so that ranges which overlap by mistake give what copyWithin gives.
napi_value callCopy(napi_env env, napi_callback_info info) {
  double arguments[3];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!state->ranges.contains(arguments[0], arguments[2], true)) return outside(env);
  if (!state->ranges.contains(arguments[1], arguments[2], false)) return outside(env);
  memmove(pointer(arguments[0]), pointer(arguments[1]), static_cast<size_t>(arguments[2]));
  return nullptr;
}

napi_value callZero(napi_env env, napi_callback_info info) {
  double arguments[2];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  if (!state->ranges.contains(arguments[0], arguments[1], true)) return outside(env);
  memset(pointer(arguments[0]), 0, static_cast<size_t>(arguments[1]));
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
  addCall<kernelName>(env, exports, "kernelName", state);
  addCall<kernelSelect>(env, exports, "kernelSelect", state);
}
