// Process: properties of this process or thread that Node cannot set.
//
// Ownership: none; everything set here lasts as long as the process or thread. All calls answer ≥ 0
// or a negative errno.

#pragma once

#include "state.h"

void addProcessCalls(Napi::Env env, Napi::Object exports, State* state);
