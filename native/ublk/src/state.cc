#include "state.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "memory.h"
#include "ring.h"

State::State() : kernels(&bestKernels()) {}

State::~State() {
  rings.clear();
  for (const auto& [address, mapping] : mappings) releaseMapping(address, mapping);
}

const char* errnoName(int error, char* buffer, size_t bytes) {
  const char* name = strerrorname_np(error);
  if (name != nullptr) return name;
  snprintf(buffer, bytes, "E%d", error);
  return buffer;
}

void throwErrno(napi_env raw, int error, const char* syscall) {
  Napi::Env env(raw);
  char nameBuffer[16];
  const char* name = errnoName(error, nameBuffer, sizeof nameBuffer);
  char message[160];
  snprintf(message, sizeof message, "%s: %s (%s)", syscall, strerror(error), name);
  Napi::Error thrown = Napi::Error::New(env, message);
  thrown.Set("errno", Napi::Number::New(env, error));
  thrown.Set("code", Napi::String::New(env, name));
  thrown.Set("syscall", Napi::String::New(env, syscall));
  thrown.ThrowAsJavaScriptException();
}

bool wholeNumber(napi_env env, napi_value value, double low, double high, const char* name,
                 double* out) {
  char message[160];
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    snprintf(message, sizeof message, "%s is not a number", name);
    napi_throw_type_error(env, nullptr, message);
    return false;
  }
  if (!(number >= low && number <= high) || number != std::floor(number)) {
    snprintf(message, sizeof message, "%s is %.17g, not a whole number from %.17g to %.17g", name,
             number, low, high);
    napi_throw_range_error(env, nullptr, message);
    return false;
  }
  *out = number;
  return true;
}

bool stringArgument(const Napi::CallbackInfo& info, size_t index, const char* name,
                    std::string* out) {
  Napi::Value value = info[index];
  char message[96];
  if (!value.IsString()) {
    snprintf(message, sizeof message, "%s is not a string", name);
    Napi::TypeError::New(info.Env(), message).ThrowAsJavaScriptException();
    return false;
  }
  *out = value.As<Napi::String>().Utf8Value();
  if (out->find('\0') != std::string::npos) {
    snprintf(message, sizeof message, "%s contains a NUL character", name);
    Napi::TypeError::New(info.Env(), message).ThrowAsJavaScriptException();
    return false;
  }
  return true;
}

void addHotCall(Napi::Env env, Napi::Object exports, const char* name, napi_callback call,
                State* state) {
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, state, &function) != napi_ok) return;
  napi_set_named_property(env, exports, name, function);
}
