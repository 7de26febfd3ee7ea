// File: descriptors of files, devices and eventfds, and advisory locks.
//
// Ownership: descriptors go to JavaScript, which closes them; nothing is remembered here. Every one
// is close-on-exec. All calls answer ≥ 0 or a negative errno.

#pragma once

#include "state.h"

void addFileCalls(Napi::Env env, Napi::Object exports, State* state);
