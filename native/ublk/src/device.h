// Device: what the kernel says about a block device or a file behind a descriptor.
//
// Ownership: none; the descriptor stays the caller's, and nothing is cached, because a device may
// be resized or change its write cache at any time.

#pragma once

#include "state.h"

void addDeviceCalls(Napi::Env env, Napi::Object exports, State* state);
