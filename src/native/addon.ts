/**
 * The interface of the native addon (native/ublk/).                                   (both planes)
 *
 * Everything that JavaScript cannot do: set up and enter an io_uring, map memory, ioctls, process
 * flags, and byte loops. No RAID, FTL or exporter logic. Functions that may fail in an ordinary way
 * return a negative errno or throw an Error with `errno` (positive) and `syscall` set; misuse
 * throws TypeError or RangeError.
 */

/** Memory of a ring, mapped into JavaScript. Word indices are into the arrays given here. */
export interface NativeRing {
  /** Opaque handle for the calls below. */
  readonly handle: number;
  readonly fd: number;
  readonly sqEntries: number;
  readonly cqEntries: number;
  /** 64 (or 128 with SQE128) bytes each. */
  readonly sqeBytes: number;
  /**
   * All submission queue entries; the SQ index array is the identity, so entry i is in slot
   * i & (sqEntries - 1).
   */
  readonly sqes: ArrayBuffer;
  /** All completion queue entries, 16 bytes each: user_data (2 words), res, flags. */
  readonly cqes: ArrayBuffer;
  /**
   * Words that every ringEnter brings up to date: 0 = entries handed over with `toSubmit` that
   * the kernel has not taken yet (their slots must not be refilled; not 0 only when completions
   * have to be reaped first), 1 = system calls made so far (modulo 2^32). Further on are what
   * `enter` is given and gives: 2 = toSubmit, 3 = minComplete, 4 = consumed, 5 = its result as a
   * signed number, and at byte 24 timeoutUs as a float of 64 bits.
   */
  readonly state: ArrayBuffer;
  /**
   * ringEnter for who enters with each request: what it is given and gives lies in `state`, because
   * each argument of a native call costs more than looking at it does.
   */
  readonly enter: () => void;
  /** IORING_FEAT_* bits. */
  readonly features: number;
  /** The IORING_SETUP_* bits that the kernel accepted. */
  readonly setupFlags: number;
}

/**
 * Kernels for who calls them with each request. What they are given lies in `words`, numbers of 64
 * bits in the order of the arguments of the kernel of the same name, because each argument of a
 * native call costs more than looking at it does; the result comes behind them.
 */
export interface NativeHotKernels {
  /** One for each environment; 264 numbers. */
  readonly words: ArrayBuffer;
  /** target, sourceCount, bytes; the sources from number 8 on. */
  readonly xor: () => void;
  /** seed, address, bytes; result. */
  readonly crc32cRaw: () => void;
  /** seed, to, from, bytes; result. */
  readonly copyCrc32cRaw: () => void;
  /** to, from, bytes. */
  readonly copy: () => void;
  /** address, bytes. */
  readonly zero: () => void;
}

export interface NativeMapping {
  readonly memory: ArrayBuffer;
  /** Exact as a Number: user addresses are below 2^47. */
  readonly address: number;
  /** True when the memory certainly is huge pages; false for transparent ones, which may be. */
  readonly hugePages: boolean;
}

/** What the kernel says about a block device (ioctls) or a regular file (fstat). */
export interface NativeDeviceInfo {
  readonly kind: 'block' | 'file';
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly ioMinBytes: number;
  readonly ioOptBytes: number;
  readonly rotational: boolean;
  readonly readOnly: boolean;
  /** 0 when the device cannot discard. */
  readonly discardGranularityBytes: number;
  readonly discardMaxBytes: number;
  readonly writeZeroesMaxBytes: number;
  /** True for "write back" caches; for files true (page cache and the disk below). */
  readonly volatileCache: boolean;
  readonly fua: boolean;
  /** A file whose file system keeps it in memory (tmpfs, ramfs). */
  readonly inMemory: boolean;
  readonly zoned: 'none' | 'host-aware' | 'host-managed';
  readonly zoneBytes: number;
  readonly maxOpenZones: number;
  readonly maxActiveZones: number;
  readonly major: number;
  readonly minor: number;
}

export interface NativeAddon {
  // --- io_uring ---------------------------------------------------------------------------------
  /**
   * io_uring_setup and mmap by raw system calls. `flags` = IORING_SETUP_* (CLAMP, SUBMIT_ALL,
   * COOP_TASKRUN, TASKRUN_FLAG, SQE128, SINGLE_ISSUER, DEFER_TASKRUN; others are a RangeError);
   * TASKRUN_FLAG is added to the task-run modes, CQSIZE when `cqEntries` > 0. Throws with errno
   * (ENOSYS, EPERM, EACCES, EINVAL, ENOMEM …) when the kernel refuses.
   */
  ringCreate(entries: number, cqEntries: number, flags: number): NativeRing;
  /**
   * Publishes `consumed` reaped completions and `toSubmit` filled entries, enters the kernel when
   * there is anything to submit or `minComplete` > 0 or completions are to be harvested (deferred
   * task work), and returns the number of completions now ready (from the CQ head), or -errno.
   * `timeoutUs` < 0: no time limit; 0 ≤ timeoutUs: wait at most so long (-ETIME counts as success).
   * EINTR is not an error: the count is returned. RangeError when more is consumed than was ready,
   * or submitted than there is room for. Only on the thread that created the ring.
   */
  ringEnter(
    handle: number,
    toSubmit: number,
    minComplete: number,
    consumed: number,
    timeoutUs: number,
  ): number;
  /** Entries that the kernel dropped because of a full CQ (must stay 0). */
  ringOverflow(handle: number): number;
  /** Registers memory ranges as fixed buffers, each ≤ 1 GiB; returns 0 or -errno. */
  ringRegisterBuffers(handle: number, addresses: Float64Array, lengths: Float64Array): number;
  /** Registers a sparse table of `count` files; returns 0 or -errno. */
  ringRegisterFileTable(handle: number, count: number): number;
  /** Sets slot `index` to `fd` (-1 clears it); returns 0 or -errno. */
  ringUpdateFile(handle: number, index: number, fd: number): number;
  /** Closes and unmaps; the ArrayBuffers are detached. Nothing may be in flight. */
  ringClose(handle: number): void;

  // --- memory -----------------------------------------------------------------------------------
  /**
   * Anonymous private memory (at most 4 GiB), page aligned; with `hugePages` aligned to 2 MiB, from
   * the huge page pool if it has enough, otherwise with transparent huge pages, or without them
   * when `transparent` is false. Not inherited by child processes. Throws with errno. Mapped until
   * memoryUnmap or the end of the thread; the garbage collector never unmaps.
   */
  memoryMap(bytes: number, hugePages: boolean, transparent?: boolean): NativeMapping;
  /**
   * Maps `fd` at `offset`, shared; a read-only mapping must not be written (it faults; the kernels
   * refuse it as a target). Throws with errno.
   */
  memoryMapFile(fd: number, offset: number, bytes: number, writable: boolean): NativeMapping;
  /**
   * Puts the first `bytes` bytes of `fd`, shared and writable, in the place of that part of
   * `memory` (from memoryMap, by this thread) which begins at byte `at`; both are multiples of
   * 4096, of 2 MiB where the memory is huge pages. Throws with errno; `memory` has to be unmapped
   * then.
   */
  memoryPlaceFile(memory: ArrayBuffer, at: number, fd: number, bytes: number): void;
  /** Unmaps; the ArrayBuffer is detached. TypeError unless this thread has mapped it. */
  memoryUnmap(memory: ArrayBuffer): void;

  // --- kernels over absolute addresses inside mapped memory (RangeError outside) -----------------
  readonly hotKernels: NativeHotKernels;
  /** 1 to 256 sources. */
  xor(target: number, sources: Float64Array, sourceCount: number, bytes: number): void;
  crc32c(address: number, bytes: number): number;
  crc32cRaw(seed: number, address: number, bytes: number): number;
  copyCrc32cRaw(seed: number, to: number, from: number, bytes: number): number;
  copy(to: number, from: number, bytes: number): void;
  zero(address: number, bytes: number): void;
  isZero(address: number, bytes: number): boolean;
  equal(a: number, b: number, bytes: number): boolean;
  /** The implementation chosen at run time, for example `avx2+sse4.2` or `portable`. */
  kernelName(): string;
  /** Tests and benchmarks: force `portable`, or `auto`; for the calling thread. */
  kernelSelect(name: 'auto' | 'portable'): void;

  // --- files and devices ------------------------------------------------------------------------
  /** open(2) with O_CLOEXEC added; returns a file descriptor or -errno. */
  fileOpen(path: string, flags: number, mode: number): number;
  fileClose(fd: number): number;
  /** flock(LOCK_EX or LOCK_SH, with LOCK_NB); 0 or -errno (-EWOULDBLOCK = held by someone). */
  fileLock(fd: number, exclusive: boolean): number;
  fileUnlock(fd: number): number;
  /**
   * fallocate(2): the first `bytes` bytes of the file have memory or disk behind them, and the file
   * has at least that size; 0 or -errno (-ENOSPC), after which the size is what it was.
   */
  fileAllocate(fd: number, bytes: number): number;
  /** Throws with errno; ENOTBLK for anything but a block device or a regular file. */
  /**
   * pread(2) and pwrite(2) between a file and `bytes` bytes of mapped memory, on this thread: only
   * for files that answer at once. The bytes moved, or -errno; RangeError outside mapped memory.
   */
  fileReadNow(fd: number, address: number, bytes: number, fileByte: number): number;
  fileWriteNow(fd: number, address: number, bytes: number, fileByte: number): number;
  deviceInfo(fd: number): NativeDeviceInfo;
  eventfd(): number;
  eventfdWrite(fd: number): number;

  // --- sockets (traffic goes through the ring, but for what has arrived already) ----------------
  /** Listening Unix stream socket (existing path: -EADDRINUSE), mode set before listen. */
  socketListenUnix(path: string, mode: number, backlog: number): number;
  /** Listening TCP socket, SO_REUSEADDR, numeric host only; returns fd or -errno. */
  socketListenTcp(host: string, port: number, backlog: number): number;
  /** The port that a TCP socket is bound to, or -errno. */
  socketPort(fd: number): number;
  /** TCP: no delay, keep-alive; Unix: a send buffer for large replies. Returns 0 or -errno. */
  socketTune(fd: number): number;
  /**
   * recv(2) into `bytes` > 0 bytes of mapped memory, without waiting: the bytes received, 0 at the
   * end of the stream, -EAGAIN when nothing has arrived, or another -errno. RangeError outside
   * mapped memory. Not while a receive of the same socket is in the ring.
   */
  socketReceiveNow(fd: number, address: number, bytes: number): number;
  socketPair(): [number, number];

  // --- process ----------------------------------------------------------------------------------
  /**
   * Locks, as they come in, the pages of the program, its libraries, the main thread's stack and
   * malloc heap, and of everything that any thread has mapped or will map here; 0 or -errno.
   * V8's own heaps are left out, because V8 aborts when it frees locked memory (so mlockall(2) must
   * not be used with Node): they can only go to swap, which a server should not have
   * (MemorySwapMax=0).
   */
  lockMemory(): number;
  /** prctl(PR_SET_IO_FLUSHER, on); returns 0 or -errno. */
  setIoFlusher(on: boolean): number;
  getIoFlusher(): number;
  /**
   * unshare(CLONE_NEWNS) and make every mount a slave: mounts made here stay here, mounts made or
   * taken away outside follow. Returns 0 or -errno. Applies to the calling thread and the threads
   * that it starts from then on.
   */
  privateMounts(): number;
  /** Signal to this process when its parent dies (0 = none); returns 0 or -errno. */
  setParentDeathSignal(signal: number): number;
  /** The name of the calling thread (15 bytes), which on the main thread is the process's. */
  setProcessName(name: string): void;
  /** Datagram to $NOTIFY_SOCKET (also abstract); 0, -errno, or 1 when not under systemd. */
  sdNotify(state: string): number;
  /** CPU time of the calling thread in microseconds. */
  threadCpuUs(): number;
  errnoName(errno: number): string;
}
