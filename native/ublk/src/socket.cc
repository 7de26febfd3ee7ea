#include "socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace {

// A dead peer is noticed after about two minutes.
constexpr int kKeepAliveIdleSeconds = 60;
constexpr int kKeepAliveIntervalSeconds = 15;
constexpr int kKeepAliveProbes = 4;
// What a Unix socket holds for a client that is busy: a batch of replies of 128 KiB. With the
// kernel's default of one and a half of them, server and client wake each other for every reply
// (bench/nbd.js, 128 KiB sequential read). The kernel allows itself twice this.
constexpr int kUnixSendBytes = 1 << 20;

// -errno of the last call, after closing `fd`.
int closeWithErrno(int fd) {
  const int error = errno;
  close(fd);
  return -error;
}

int listenUnix(const std::string& path, mode_t mode, int backlog) {
  sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (path.empty()) return -EINVAL;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  // The mode of the socket becomes the mode of the path (less the umask), so that it is at no time
  // wider than asked for; chmod then adds what the umask took.
  if (fchmod(fd, mode) != 0) return closeWithErrno(fd);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return closeWithErrno(fd);
  }
  if (chmod(path.c_str(), mode) != 0 || listen(fd, backlog) != 0) {
    const int error = closeWithErrno(fd);
    unlink(path.c_str());
    return error;
  }
  return fd;
}

int listenTcp(const std::string& host, int port, int backlog) {
  addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return -EINVAL;
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    fd = -errno;
  } else {
    const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
      fd = closeWithErrno(fd);
    }
  }
  freeaddrinfo(found);
  return fd;
}

int portOf(int fd) {
  sockaddr_storage address;
  socklen_t bytes = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return -errno;
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  }
  return -EAFNOSUPPORT;
}

bool set(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Root may exceed net.core.wmem_max; for others the kernel takes as much of it as is allowed.
bool tuneUnix(int fd) {
  return set(fd, SOL_SOCKET, SO_SNDBUFFORCE, kUnixSendBytes) ||
         set(fd, SOL_SOCKET, SO_SNDBUF, kUnixSendBytes);
}

int tune(int fd) {
  int domain = 0;
  socklen_t bytes = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) != 0) return -errno;
  if (domain == AF_UNIX) return tuneUnix(fd) ? 0 : -errno;
  if (domain != AF_INET && domain != AF_INET6) return 0;
  const bool tuned = set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
                     set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
                     set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds) &&
                     set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds) &&
                     set(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
  return tuned ? 0 : -errno;
}

Napi::Value socketListenUnix(const Napi::CallbackInfo& info) {
  std::string path;
  mode_t mode = 0;
  int backlog = 0;
  if (!stringArgument(info, 0, "path", &path) || !argument(info, 1, 0, 0777, "mode", &mode) ||
      !argument(info, 2, 0, INT32_MAX, "backlog", &backlog)) {
    return Napi::Value();
  }
  return outcome(info, listenUnix(path, mode, backlog));
}

Napi::Value socketListenTcp(const Napi::CallbackInfo& info) {
  std::string host;
  int port = 0;
  int backlog = 0;
  if (!stringArgument(info, 0, "host", &host) || !argument(info, 1, 0, 65535, "port", &port) ||
      !argument(info, 2, 0, INT32_MAX, "backlog", &backlog)) {
    return Napi::Value();
  }
  return outcome(info, listenTcp(host, port, backlog));
}

Napi::Value socketPort(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!argument(info, 0, 0, INT32_MAX, "fd", &fd)) return Napi::Value();
  return outcome(info, portOf(fd));
}

Napi::Value socketTune(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!argument(info, 0, 0, INT32_MAX, "fd", &fd)) return Napi::Value();
  return outcome(info, tune(fd));
}

// recv(2) into mapped memory, without waiting: the bytes, 0 at the end of the stream, or a negative
// errno, EAGAIN when nothing has arrived.
napi_value receiveNow(napi_env env, napi_callback_info info) {
  double arguments[3];
  State* state = nullptr;
  if (!hotArguments(env, info, arguments, &state)) return nullptr;
  const double fd = arguments[0];
  if (!(fd >= 0 && fd <= INT32_MAX)) {
    napi_throw_range_error(env, nullptr, "not a descriptor");
    return nullptr;
  }
  if (!(arguments[2] > 0 && arguments[2] <= INT32_MAX) ||
      !state->ranges.contains(arguments[1], arguments[2], true)) {
    napi_throw_range_error(env, nullptr, "the buffer is empty or lies outside mapped memory");
    return nullptr;
  }
  auto* address = reinterpret_cast<void*>(static_cast<uintptr_t>(arguments[1]));
  const ssize_t received = recv(static_cast<int>(fd), address, static_cast<size_t>(arguments[2]),
                                MSG_DONTWAIT);
  napi_value result = nullptr;
  napi_create_int32(env, received < 0 ? -errno : static_cast<int32_t>(received), &result);
  return result;
}

Napi::Value socketPair(const Napi::CallbackInfo& info) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    throwErrno(info.Env(), errno, "socketpair");
    return Napi::Value();
  }
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(uint32_t{0}, Napi::Number::New(info.Env(), pair[0]));
  result.Set(uint32_t{1}, Napi::Number::New(info.Env(), pair[1]));
  return result;
}

}  // namespace

void addSocketCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<socketListenUnix>(env, exports, "socketListenUnix", state);
  addCall<socketListenTcp>(env, exports, "socketListenTcp", state);
  addCall<socketPort>(env, exports, "socketPort", state);
  addCall<socketTune>(env, exports, "socketTune", state);
  addHotCall(env, exports, "socketReceiveNow", receiveNow, state);
  addCall<socketPair>(env, exports, "socketPair", state);
}
