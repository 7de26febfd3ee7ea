// The io_uring interface of the kernel, by raw system calls.
//
// Ownership: none; constants and thin wrappers. <linux/io_uring.h> gives the structures, which have
// been stable since they appeared; constants are written out here where build machines with older
// headers (Debian 12 ships those of 6.1) lack them or have them only as enumerators that the
// preprocessor cannot test for.

#pragma once

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#define __NR_io_uring_register 427
#endif

namespace uring {

// io_uring_setup(2) flags.
constexpr uint32_t kSetupCqSize = 1u << 3;
constexpr uint32_t kSetupClamp = 1u << 4;
constexpr uint32_t kSetupSubmitAll = 1u << 7;
constexpr uint32_t kSetupCoopTaskrun = 1u << 8;
constexpr uint32_t kSetupTaskrunFlag = 1u << 9;
constexpr uint32_t kSetupSqe128 = 1u << 10;
constexpr uint32_t kSetupSingleIssuer = 1u << 12;
constexpr uint32_t kSetupDeferTaskrun = 1u << 13;

// io_uring_enter(2) flags.
constexpr uint32_t kEnterGetEvents = 1u << 0;
constexpr uint32_t kEnterExtArg = 1u << 3;
constexpr uint32_t kEnterRegisteredRing = 1u << 4;

// Bits that the kernel sets in the flags word of the submission ring.
constexpr uint32_t kSqCqOverflow = 1u << 1;
constexpr uint32_t kSqTaskrun = 1u << 2;

constexpr uint32_t kFeatureSingleMmap = 1u << 0;
constexpr uint32_t kFeatureExtArg = 1u << 8;

// io_uring_register(2) operations.
constexpr unsigned kRegisterBuffers = 0;
constexpr unsigned kUnregisterBuffers = 1;
constexpr unsigned kRegisterFiles = 2;
constexpr unsigned kUpdateFiles = 6;
constexpr unsigned kRegisterFiles2 = 13;
constexpr unsigned kRegisterRingFds = 20;
constexpr unsigned kUnregisterRingFds = 21;
constexpr uint32_t kResourceSparse = 1u << 0;

// The argument of kRegisterFiles2.
struct ResourceRegister {
  uint32_t count;
  uint32_t flags;
  uint64_t reserved;
  uint64_t data;
  uint64_t tags;
};
static_assert(sizeof(ResourceRegister) == 32);

// The argument of kUpdateFiles and of the ring descriptor operations.
struct ResourceUpdate {
  uint32_t offset;
  uint32_t reserved;
  uint64_t data;
};
static_assert(sizeof(ResourceUpdate) == 16);

// The argument of io_uring_enter with kEnterExtArg.
struct GetEventsArgument {
  uint64_t signalMask;
  uint32_t signalMaskBytes;
  uint32_t minWaitUs;
  uint64_t timespec;
};
static_assert(sizeof(GetEventsArgument) == 24);

struct Timespec {
  int64_t seconds;
  int64_t nanoseconds;
};

inline int setup(unsigned entries, io_uring_params* params) {
  return static_cast<int>(syscall(__NR_io_uring_setup, entries, params));
}

inline int enter(int fd, unsigned toSubmit, unsigned minComplete, unsigned flags,
                 const void* argument, size_t bytes) {
  return static_cast<int>(
      syscall(__NR_io_uring_enter, fd, toSubmit, minComplete, flags, argument, bytes));
}

inline int registerResource(int fd, unsigned operation, const void* argument, unsigned count) {
  return static_cast<int>(syscall(__NR_io_uring_register, fd, operation, argument, count));
}

}  // namespace uring
