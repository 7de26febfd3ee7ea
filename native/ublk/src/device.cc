#include "device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#ifndef BLKROTATIONAL
#define BLKROTATIONAL _IO(0x12, 126)
#endif
#ifndef BLKGETZONESZ
#define BLKGETZONESZ _IOR(0x12, 132, __u32)
#endif

namespace {

constexpr double kUnlimited = 9007199254740991.0;

struct Info {
  bool block = false;
  double sizeBytes = 0;
  double logicalBlockBytes = 512;
  double physicalBlockBytes = 512;
  double ioMinBytes = 512;
  double ioOptBytes = 0;
  bool rotational = false;
  bool readOnly = false;
  double discardGranularityBytes = 0;
  double discardMaxBytes = 0;
  double writeZeroesMaxBytes = 0;
  bool volatileCache = true;
  bool fua = false;
  bool inMemory = false;
  const char* zoned = "none";
  double zoneBytes = 0;
  double maxOpenZones = 0;
  double maxActiveZones = 0;
  dev_t device = 0;
};

// The queue directory of a block device in sysfs; a partition has its disk's.
std::string queueDirectory(dev_t device) {
  char base[64];
  snprintf(base, sizeof base, "/sys/dev/block/%u:%u", major(device), minor(device));
  const std::string own = std::string(base) + "/queue";
  if (access(own.c_str(), F_OK) == 0) return own;
  return std::string(base) + "/../queue";
}

// The first line of an attribute; empty when it does not exist.
std::string attribute(const std::string& directory, const char* name) {
  FILE* file = fopen((directory + "/" + name).c_str(), "re");
  if (file == nullptr) return "";
  char line[64];
  std::string text = fgets(line, sizeof line, file) != nullptr ? line : "";
  fclose(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

double numberAttribute(const std::string& directory, const char* name) {
  return strtod(attribute(directory, name).c_str(), nullptr);
}

// The answer of an ioctl into a T, or `fallback` when the device does not know it.
template <typename T>
T ask(int fd, unsigned long request, T fallback) {
  T value = fallback;
  return ioctl(fd, request, &value) == 0 ? value : fallback;
}

void describeZones(int fd, const std::string& queue, Info* info) {
  const std::string zoned = attribute(queue, "zoned");
  if (zoned != "host-aware" && zoned != "host-managed") return;
  info->zoned = zoned == "host-aware" ? "host-aware" : "host-managed";
  const auto sectors = ask<uint32_t>(fd, BLKGETZONESZ, 0);
  info->zoneBytes = 512.0 * (sectors != 0 ? sectors : numberAttribute(queue, "chunk_sectors"));
  info->maxOpenZones = numberAttribute(queue, "max_open_zones");
  info->maxActiveZones = numberAttribute(queue, "max_active_zones");
}

// False with errno set when even the size cannot be had.
bool describeBlock(int fd, dev_t device, Info* info) {
  uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) return false;
  info->block = true;
  info->device = device;
  info->sizeBytes = static_cast<double>(size);
  info->logicalBlockBytes = ask<int>(fd, BLKSSZGET, 512);
  info->physicalBlockBytes = ask<unsigned>(fd, BLKPBSZGET, 512);
  info->ioMinBytes = ask<unsigned>(fd, BLKIOMIN, 512);
  info->ioOptBytes = ask<unsigned>(fd, BLKIOOPT, 0);
  info->rotational = ask<unsigned short>(fd, BLKROTATIONAL, 0) != 0;
  info->readOnly = ask<int>(fd, BLKROGET, 0) != 0;
  const std::string queue = queueDirectory(device);
  info->discardMaxBytes = numberAttribute(queue, "discard_max_bytes");
  if (info->discardMaxBytes > 0) {
    info->discardGranularityBytes = numberAttribute(queue, "discard_granularity");
  }
  info->writeZeroesMaxBytes = numberAttribute(queue, "write_zeroes_max_bytes");
  // Without an answer a cache is assumed: an unneeded flush is harmless, a missing one is not.
  info->volatileCache = attribute(queue, "write_cache") != "write through";
  info->fua = attribute(queue, "fua") == "1";
  describeZones(fd, queue, info);
  return true;
}

// What direct I/O needs, from statx(2) since Linux 6.1; 0 when the kernel or file system does not
// say, or the headers of the build machine do not know the field.
double directIoAlignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx extended;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) != 0) return 0;
  if (!(extended.stx_mask & STATX_DIOALIGN)) return 0;
  return extended.stx_dio_offset_align;
#else
  static_cast<void>(fd);
  return 0;
#endif
}

void describeFile(int fd, const struct stat& status, Info* info) {
  info->device = status.st_dev;
  info->sizeBytes = static_cast<double>(status.st_size);
  const double aligned = directIoAlignment(fd);
  if (aligned >= 512) info->logicalBlockBytes = aligned;
  info->physicalBlockBytes = static_cast<double>(status.st_blksize);
  info->ioMinBytes = info->physicalBlockBytes;
  struct statvfs system;
  info->readOnly = fstatvfs(fd, &system) == 0 && (system.f_flag & ST_RDONLY) != 0;
  info->rotational = attribute(queueDirectory(status.st_dev), "rotational") == "1";
  struct statfs kind;
  info->inMemory =
      fstatfs(fd, &kind) == 0 && (kind.f_type == TMPFS_MAGIC || kind.f_type == RAMFS_MAGIC);
  // Holes are punched and ranges zeroed by fallocate(2), which takes any length.
  info->discardGranularityBytes = info->physicalBlockBytes;
  info->discardMaxBytes = kUnlimited;
  info->writeZeroesMaxBytes = kUnlimited;
}

Napi::Value toObject(Napi::Env env, const Info& info) {
  Napi::Object result = Napi::Object::New(env);
  const auto number = [&](const char* name, double value) {
    result.Set(name, Napi::Number::New(env, value));
  };
  const auto flag = [&](const char* name, bool value) {
    result.Set(name, Napi::Boolean::New(env, value));
  };
  result.Set("kind", Napi::String::New(env, info.block ? "block" : "file"));
  number("sizeBytes", info.sizeBytes);
  number("logicalBlockBytes", info.logicalBlockBytes);
  number("physicalBlockBytes", info.physicalBlockBytes);
  number("ioMinBytes", info.ioMinBytes);
  number("ioOptBytes", info.ioOptBytes);
  flag("rotational", info.rotational);
  flag("readOnly", info.readOnly);
  number("discardGranularityBytes", info.discardGranularityBytes);
  number("discardMaxBytes", info.discardMaxBytes);
  number("writeZeroesMaxBytes", info.writeZeroesMaxBytes);
  flag("volatileCache", info.volatileCache);
  flag("fua", info.fua);
  flag("inMemory", info.inMemory);
  result.Set("zoned", Napi::String::New(env, info.zoned));
  number("zoneBytes", info.zoneBytes);
  number("maxOpenZones", info.maxOpenZones);
  number("maxActiveZones", info.maxActiveZones);
  number("major", major(info.device));
  number("minor", minor(info.device));
  return result;
}

Napi::Value deviceInfo(const Napi::CallbackInfo& call) {
  int fd = -1;
  if (!argument(call, 0, 0, INT32_MAX, "fd", &fd)) return Napi::Value();
  struct stat status;
  if (fstat(fd, &status) != 0) {
    throwErrno(call.Env(), errno, "fstat");
    return Napi::Value();
  }
  Info info;
  if (S_ISBLK(status.st_mode)) {
    if (!describeBlock(fd, status.st_rdev, &info)) {
      throwErrno(call.Env(), errno, "ioctl");
      return Napi::Value();
    }
  } else if (S_ISREG(status.st_mode)) {
    describeFile(fd, status, &info);
  } else {
    throwErrno(call.Env(), ENOTBLK, "fstat");
    return Napi::Value();
  }
  return toObject(call.Env(), info);
}

}  // namespace

void addDeviceCalls(Napi::Env env, Napi::Object exports, State* state) {
  addCall<deviceInfo>(env, exports, "deviceInfo", state);
}
