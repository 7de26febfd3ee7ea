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
  addCall<makeEventfd>(env, exports, "eventfd", state);
  addCall<writeEventfd>(env, exports, "eventfdWrite", state);
}
