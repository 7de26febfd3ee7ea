// Registration: joins the nouns to the interface that src/native/addon.ts describes.

#include "device.h"
#include "file.h"
#include "kernel_calls.h"
#include "memory.h"
#include "process.h"
#include "ring.h"
#include "socket.h"
#include "state.h"

namespace {

Napi::Object registerAddon(Napi::Env env, Napi::Object exports) {
  auto* state = new State;
  env.SetInstanceData<State>(state);
  addRingCalls(env, exports, state);
  addMemoryCalls(env, exports, state);
  addKernelCalls(env, exports, state);
  addFileCalls(env, exports, state);
  addDeviceCalls(env, exports, state);
  addSocketCalls(env, exports, state);
  addProcessCalls(env, exports, state);
  return exports;
}

}  // namespace

NODE_API_MODULE(bandstand, registerAddon)
