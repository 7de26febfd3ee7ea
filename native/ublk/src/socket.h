// Socket: listening sockets and their options. Traffic goes through the ring, except for what has
// arrived already and is fetched without waiting (receiveNow).
//
// Ownership: descriptors go to JavaScript, which closes them (and unlinks a Unix socket's path);
// nothing is remembered here. All are close-on-exec and blocking: io_uring waits for a blocking
// socket by itself, and would report EAGAIN for a non-blocking one.

#pragma once

#include "state.h"

void addSocketCalls(Napi::Env env, Napi::Object exports, State* state);
