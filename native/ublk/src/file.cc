#include "file.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace {

bool fdArgument(const Napi::CallbackInfo& info, int* fd) {
  return argument(info, 0, 0, INT32_MAX, "fd", fd);
}

Napi::Value orErrno(const Napi::CallbackInfo& info, int result) {
  return outcome(info, result < 0 ? -errno : result);
}

Napi::Value fileOpen(const Napi::CallbackInfo& info) {
  std::string path;
  int flags = 0;
  mode_t mode = 0;
  if (!stringArgument(info, 0, "path", &path) ||
      !argument(info, 1, 0, INT32_MAX, "flags", &flags) ||
      !argument(info, 2, 0, 07777, "mode", &mode)) {
    return Napi::Value();
  }
  int fd = -1;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return orErrno(info, fd);
}

// Not repeated after EINTR: Linux has closed the descriptor then.
Napi::Value fileClose(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info, &fd)) return Napi::Value();
  return orErrno(info, close(fd));
}

Napi::Value fileLock(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info, &fd)) return Napi::Value();
  const int kind = info[1].ToBoolean() ? LOCK_EX : LOCK_SH;
  return orErrno(info, flock(fd, kind | LOCK_NB));
}

Napi::Value fileUnlock(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info, &fd)) return Napi::Value();
  return orErrno(info, flock(fd, LOCK_UN));
}

Napi::Value fileAllocate(const Napi::CallbackInfo& info) {
  int fd = -1;
  off_t bytes = 0;
  if (!fdArgument(info, &fd) || !argument(info, 1, 1, 9007199254740991.0, "bytes", &bytes)) {
    return Napi::Value();
  }
  int result = -1;
  do {
    result = fallocate(fd, 0, 0, bytes);
  } while (result < 0 && errno == EINTR);
  return orErrno(info, result);
}

// pread or pwrite between a file and mapped memory: the bytes moved, or a negative errno.
template <bool writing>
napi_value moveNow(napi_env env, napi_callback_info info) {
  double arguments[4];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  const double fd = arguments[0];
  const double offset = arguments[3];
  if (!(fd >= 0 && fd <= INT32_MAX) || !(offset >= 0 && offset <= 9007199254740991.0)) {
    napi_throw_range_error(env, nullptr, "not a descriptor or not a position");
    return nullptr;
  }
  if (!(arguments[2] <= INT32_MAX) ||
      !state->ranges.contains(arguments[1], arguments[2], !writing)) {
    napi_throw_range_error(env, nullptr, "the buffer lies outside mapped memory");
    return nullptr;
  }
  auto* address = reinterpret_cast<void*>(static_cast<uintptr_t>(arguments[1]));
  const auto bytes = static_cast<size_t>(arguments[2]);
  const ssize_t moved =
      writing ? pwrite(static_cast<int>(fd), address, bytes, static_cast<off_t>(offset))
              : pread(static_cast<int>(fd), address, bytes, static_cast<off_t>(offset));
  napi_value result = nullptr;
  napi_create_int32(env, moved < 0 ? -errno : static_cast<int32_t>(moved), &result);
  return result;
}

Napi::Value makeEventfd(const Napi::CallbackInfo& info) {
  return orErrno(info, eventfd(0, EFD_CLOEXEC));
}

Napi::Value writeEventfd(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info, &fd)) return Napi::Value();
  const uint64_t one = 1;
  return outcome(info, write(fd, &one, sizeof one) < 0 ? -errno : 0);
}

}  // namespace

void addFileCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<fileOpen>(env, exports, "fileOpen", state);
  addCall<fileClose>(env, exports, "fileClose", state);
  addCall<fileLock>(env, exports, "fileLock", state);
  addCall<fileUnlock>(env, exports, "fileUnlock", state);
  addCall<fileAllocate>(env, exports, "fileAllocate", state);
  addHotCall(env, exports, "fileReadNow", moveNow<false>, state);
  addHotCall(env, exports, "fileWriteNow", moveNow<true>, state);
  addCall<makeEventfd>(env, exports, "eventfd", state);
  addCall<writeEventfd>(env, exports, "eventfdWrite", state);
}
