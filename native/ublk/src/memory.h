// Memory: page-aligned memory shared between JavaScript, the kernel and the byte loops.
//
// Ownership: memory is mapped here and belongs to the State of the environment that asked for it.
// It is given back by memoryUnmap, which detaches the ArrayBuffer first, or when the environment
// ends. The ArrayBuffers have no finalizer: a forgotten one leaks until then, and garbage
// collection can never unmap memory that the kernel still writes to.

#pragma once

#include "state.h"

void addMemoryCalls(Napi::Env env, Napi::Object exports, State* state);
// Takes the range out of the registry and unmaps it; the caller drops its Mapping.
void releaseMapping(uintptr_t address, const Mapping& mapping);
