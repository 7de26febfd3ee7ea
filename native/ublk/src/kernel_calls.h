// Kernel calls: the border between JavaScript and the byte loops.
//
// Ownership: none. Every call checks that its ranges lie inside registered memory (ranges.h), and
// then runs a kernel of the table that the environment has selected. Called once or several times
// per I/O, hence bare Node-API and no allocation.

#pragma once

#include "state.h"

void addKernelCalls(Napi::Env env, Napi::Object exports, State* state);
