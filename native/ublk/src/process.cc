#include "process.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

namespace {

Napi::Value orErrno(const Napi::CallbackInfo& info, int result) {
  return outcome(info, result < 0 ? -errno : result);
}

// Not mlockall(2): V8 gives back memory by mprotect and MADV_DONTNEED, takes the failure of the
// latter, which locked memory causes, for corruption, and ends the process (seen with Node 20 when
// a thread ends or a page of code is freed). So its anonymous heaps stay as they are, and all the
// rest is locked: files (the program, its libraries, the addon), stack and malloc heap of the main
// thread, and what the addon maps on any thread.
int lockProcess() {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return -errno;
  int error = 0;
  char line[8192];
  while (error == 0 && fgets(line, sizeof line, maps) != nullptr) {
    unsigned long start = 0;
    unsigned long end = 0;
    unsigned long inode = 0;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) != 3) continue;
    const bool named = strstr(line, "[heap]") != nullptr || strstr(line, "[stack]") != nullptr;
    if (inode != 0 || named) error = lockPages(start, end);
    // A mapping that another thread has just taken away, unlike a limit, is no reason to stop.
    if (error == ENOMEM && msync(reinterpret_cast<void*>(start), end - start, MS_ASYNC) != 0) {
      error = 0;
    }
  }
  fclose(maps);
  return error != 0 ? -error : -lockRanges();
}

Napi::Value lockMemory(const Napi::CallbackInfo& info) { return outcome(info, lockProcess()); }

Napi::Value setIoFlusher(const Napi::CallbackInfo& info) {
  const unsigned long on = info[0].ToBoolean() ? 1 : 0;
  return orErrno(info, prctl(PR_SET_IO_FLUSHER, on, 0, 0, 0));
}

Napi::Value getIoFlusher(const Napi::CallbackInfo& info) {
  return orErrno(info, prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
}

Napi::Value privateMounts(const Napi::CallbackInfo& info) {
  if (unshare(CLONE_NEWNS) != 0) return outcome(info, -errno);
  // Slaves, not private mounts: what is unmounted outside has to go here, too, or the copy that
  // this namespace was born with would keep the file system and its device busy for ever.
  return orErrno(info, mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr));
}

Napi::Value setParentDeathSignal(const Napi::CallbackInfo& info) {
  unsigned long signal = 0;
  if (!argument(info, 0, 0, 64, "signal", &signal)) return Napi::Value();
  return orErrno(info, prctl(PR_SET_PDEATHSIG, signal));
}

// The kernel keeps the first 15 bytes.
Napi::Value setProcessName(const Napi::CallbackInfo& info) {
  std::string name;
  if (!stringArgument(info, 0, "name", &name)) return Napi::Value();
  prctl(PR_SET_NAME, name.c_str());
  return info.Env().Undefined();
}

// The protocol of sd_notify(3): one datagram to the socket that the environment names, where a
// leading @ stands for the NUL byte of an abstract address.
int notify(const std::string& state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || path[0] == '\0') return 1;
  if (path[0] != '/' && path[0] != '@') return -EAFNOSUPPORT;
  sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  const size_t length = strlen(path);
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const auto addressBytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  const ssize_t sent = sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<sockaddr*>(&address), addressBytes);
  const int result = sent < 0 ? -errno : 0;
  close(fd);
  return result;
}

Napi::Value sdNotify(const Napi::CallbackInfo& info) {
  std::string state;
  if (!stringArgument(info, 0, "state", &state)) return Napi::Value();
  return outcome(info, notify(state));
}

Napi::Value threadCpuUs(const Napi::CallbackInfo& info) {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return Napi::Number::New(info.Env(), static_cast<double>(now.tv_sec) * 1e6 +
                                           static_cast<double>(now.tv_nsec / 1000));
}

Napi::Value nameOfErrno(const Napi::CallbackInfo& info) {
  int error = 0;
  if (!argument(info, 0, -4095, 4095, "errno", &error)) return Napi::Value();
  char buffer[16];
  return Napi::String::New(info.Env(), errnoName(abs(error), buffer, sizeof buffer));
}

}  // namespace

void addProcessCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<lockMemory>(env, exports, "lockMemory", state);
  addCall<setIoFlusher>(env, exports, "setIoFlusher", state);
  addCall<getIoFlusher>(env, exports, "getIoFlusher", state);
  addCall<privateMounts>(env, exports, "privateMounts", state);
  addCall<setParentDeathSignal>(env, exports, "setParentDeathSignal", state);
  addCall<setProcessName>(env, exports, "setProcessName", state);
  addCall<sdNotify>(env, exports, "sdNotify", state);
  addCall<threadCpuUs>(env, exports, "threadCpuUs", state);
  addCall<nameOfErrno>(env, exports, "errnoName", state);
}
