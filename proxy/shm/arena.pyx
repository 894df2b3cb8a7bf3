# cython: boundscheck=True
"""One mapped file: bounds-checked words and bytes, robust process-shared locks.

Every store into shared memory passes CRASHPOINT, so that a test can kill a process before its
n-th store, whichever that is; bytes are stored in two halves with one such point between them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset, strerror

from proxy.errors import LockTimeout, ShmError, ShmRefused

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/file.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>

    static int64_t shm_crash_in = 0;

    static inline void CRASHPOINT(void) {
        if (__builtin_expect(shm_crash_in != 0, 0) && --shm_crash_in == 0) {
            kill(getpid(), SIGKILL);
            for (;;) pause();
        }
    }

    #define SHM_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define SHM_STORE(p, v) (CRASHPOINT(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
    #define SHM_CLAIM(p, v) (CRASHPOINT(), __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
    #define SHM_FENCE_ACQUIRE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define SHM_WARM(p) __builtin_prefetch(p)
    #define SHM_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)

    static inline int shm_swap_u32(uint32_t *p, uint32_t expected, uint32_t value) {
        CRASHPOINT();
        return __atomic_compare_exchange_n(p, &expected, value, 0, __ATOMIC_ACQ_REL,
                                           __ATOMIC_ACQUIRE);
    }

    static inline int shm_swap_u64(uint64_t *p, uint64_t expected, uint64_t value) {
        CRASHPOINT();
        return __atomic_compare_exchange_n(p, &expected, value, 0, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    }

    static inline uint64_t shm_sum_fresh(uint64_t *p, size_t words, uint32_t oldest,
                                         uint32_t span) {
        uint64_t sum = 0;
        for (size_t i = 0; i < words; i++) {
            uint64_t word = __atomic_load_n(p + i, __ATOMIC_SEQ_CST);
            sum += (uint32_t)((uint32_t)(word >> 32) - oldest) <= span ? (uint32_t)word : 0;
        }
        return sum;
    }

    static inline void shm_put(unsigned char *to, const void *from, size_t length) {
        CRASHPOINT();
        if (__builtin_expect(shm_crash_in != 0, 0)) {
            memcpy(to, from, length / 2);
            CRASHPOINT();
        }
        memcpy(to, from, length);
    }

    static inline uint64_t shm_read64(const unsigned char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline uint64_t shm_read32(const unsigned char *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint64_t shm_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    /* The construction of wyhash: 16 bytes per multiplication, the tail read overlapping. */
    static uint64_t shm_fold(const unsigned char *p, size_t length, uint64_t seed) {
        const uint64_t k0 = 0xa0761d6478bd642fULL, k1 = 0xe7037ed1a0b428dbULL;
        const uint64_t k2 = 0x8ebc6af09c88c6e3ULL;
        uint64_t a = 0, b = 0;
        size_t left = length;
        seed ^= k0;
        for (; left > 16; left -= 16, p += 16)
            seed = shm_mix(shm_read64(p) ^ k1, shm_read64(p + 8) ^ seed);
        if (left >= 8) {
            a = shm_read64(p);
            b = shm_read64(p + left - 8);
        } else if (left >= 4) {
            a = shm_read32(p);
            b = shm_read32(p + left - 4);
        } else if (left > 0) {
            a = ((uint64_t)p[0] << 16) | ((uint64_t)p[left >> 1] << 8) | p[left - 1];
        }
        return shm_mix(k2 ^ length, shm_mix(a ^ k1, b ^ seed));
    }

    static int shm_make_lock(void *at) {
        pthread_mutexattr_t attributes;
        int error = pthread_mutexattr_init(&attributes);
        if (error) return error;
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        error = pthread_mutex_init((pthread_mutex_t *)at, &attributes);
        pthread_mutexattr_destroy(&attributes);
        return error;
    }

    static int shm_lock(void *at, int64_t wait_ns) {
        struct timespec until;
        int error = pthread_mutex_trylock((pthread_mutex_t *)at);
        for (int spin = 0; error == EBUSY && spin < 64; spin++) {
            for (int i = 0; i < 16; i++) __asm__ __volatile__("" ::: "memory");
            error = pthread_mutex_trylock((pthread_mutex_t *)at);
        }
        if (error == EBUSY && wait_ns > 0) {
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += (until.tv_nsec + wait_ns) / 1000000000;
            until.tv_nsec = (until.tv_nsec + wait_ns) % 1000000000;
            error = pthread_mutex_clocklock((pthread_mutex_t *)at, CLOCK_MONOTONIC, &until);
        }
        CRASHPOINT();
        return error;
    }

    static int shm_try_lock(void *at) {
        int error = pthread_mutex_trylock((pthread_mutex_t *)at);
        CRASHPOINT();
        return error;
    }

    static int shm_unlock(void *at) {
        int error;
        CRASHPOINT();
        error = pthread_mutex_unlock((pthread_mutex_t *)at);
        CRASHPOINT();
        return error;
    }

    static int shm_adopt(void *at) { CRASHPOINT(); return pthread_mutex_consistent((pthread_mutex_t *)at); }

    enum { SHM_CREATE, SHM_OWN, SHM_JOIN, SHM_PEEK, SHM_ANONYMOUS, SHM_INHERIT };

    /* What another program has handed over is mapped by a duplicate of its descriptor. */
    static int shm_descriptor(const char *path, int mode, int handed) {
        int flags = O_RDWR | O_CLOEXEC | (mode == SHM_CREATE ? O_CREAT | O_EXCL : 0);
        if (mode == SHM_ANONYMOUS) return memfd_create("sipherd", MFD_CLOEXEC);
        if (mode == SHM_INHERIT) return fcntl(handed, F_DUPFD_CLOEXEC, 3);
        return open(path, flags, 0600);
    }

    /* 0, or errno; EWOULDBLOCK means that somebody else owns the file. */
    static int shm_map(const char *path, int mode, int handed, size_t *size, int *descriptor,
                       void **base) {
        struct stat status;
        int is_new = mode == SHM_CREATE || mode == SHM_ANONYMOUS;
        int holds = mode == SHM_CREATE || mode == SHM_OWN || mode == SHM_PEEK;
        int error = 0, fd = shm_descriptor(path, mode, handed);
        *base = MAP_FAILED;
        if (fd < 0) return errno;
        if (holds && flock(fd, LOCK_EX | LOCK_NB)) error = errno;
        if (!error && !is_new) {
            if (fstat(fd, &status)) error = errno;
            else if (!S_ISREG(status.st_mode) || status.st_size < 4096) error = EINVAL;
            else *size = (size_t)status.st_size;
        }
        /* Without this a full tmpfs would answer a later store with SIGBUS. */
        if (!error && mode < SHM_PEEK) error = posix_fallocate(fd, 0, (off_t)*size);
        if (!error && mode == SHM_ANONYMOUS && ftruncate(fd, (off_t)*size)) error = errno;
        if (!error) {
            *base = mmap(NULL, *size, PROT_READ | PROT_WRITE,
                         mode == SHM_PEEK ? MAP_PRIVATE : MAP_SHARED, fd, 0);
            if (*base == MAP_FAILED) error = errno;
        }
        if (error) {
            if (mode == SHM_CREATE) unlink(path);
            close(fd);
        } else *descriptor = fd;
        return error;
    }
    """
    int64_t shm_crash_in
    int EBUSY, EOWNERDEAD, ETIMEDOUT, EEXIST, EWOULDBLOCK, EINVAL, ENOSPC
    int SHM_CREATE, SHM_OWN, SHM_JOIN, SHM_PEEK, SHM_ANONYMOUS, SHM_INHERIT
    size_t SIZEOF_LOCK "sizeof(pthread_mutex_t)"
    uint16_t load_u16 "SHM_LOAD"(uint16_t *at) noexcept
    uint32_t load_u32 "SHM_LOAD"(uint32_t *at) noexcept
    uint64_t load_u64 "SHM_LOAD"(uint64_t *at) noexcept
    void store_u16 "SHM_STORE"(uint16_t *at, uint16_t value) noexcept
    void store_u32 "SHM_STORE"(uint32_t *at, uint32_t value) noexcept
    void store_u64 "SHM_STORE"(uint64_t *at, uint64_t value) noexcept
    uint64_t SHM_CLAIM(uint64_t *at, uint64_t amount) noexcept
    void SHM_WARM(const unsigned char *at) noexcept
    void SHM_FENCE() noexcept
    void SHM_FENCE_ACQUIRE() noexcept
    void CRASHPOINT() noexcept
    int shm_swap_u32(uint32_t *at, uint32_t expected, uint32_t value) noexcept
    int shm_swap_u64(uint64_t *at, uint64_t expected, uint64_t value) noexcept
    uint64_t shm_sum_fresh(uint64_t *at, size_t words, uint32_t oldest, uint32_t span) noexcept
    void shm_put(unsigned char *to, const void *source, size_t length) noexcept
    uint64_t shm_fold(const unsigned char *data, size_t length, uint64_t seed) noexcept
    int shm_make_lock(void *at) noexcept
    int shm_lock(void *at, int64_t wait_ns) noexcept
    int shm_try_lock(void *at) noexcept
    int shm_unlock(void *at) noexcept
    int shm_adopt(void *at) noexcept
    int shm_map(const char *path, int mode, int handed, size_t *size, int *descriptor,
                void **base) noexcept
    int munmap(void *base, size_t size) noexcept
    int close_descriptor "close"(int descriptor) noexcept

LOCK_BYTES = 48  # the rest of its cache line holds what the lock guards
LOCKED, OWNER_DIED, BUSY = range(3)
if SIZEOF_LOCK > 48:
    raise ImportError("pthread_mutex_t does not fit the 48 bytes that the files give it")


cpdef uint64_t fold(bytes data, uint64_t seed):
    return shm_fold(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seed)


cpdef int64_t arm_crash(int64_t stores) noexcept:
    global shm_crash_in
    cdef int64_t left = shm_crash_in
    shm_crash_in = stores
    return left


cdef Arena _map(str path, int mode, size_t size, int handed=-1):
    cdef Arena arena = Arena.__new__(Arena)
    cdef void *base
    cdef bytes name = path.encode("utf-8", "surrogateescape")
    cdef int error = shm_map(name, mode, handed, &size, &arena.descriptor, &base)
    if error == EEXIST:
        raise ShmError(f"{path} exists already")
    if error == EWOULDBLOCK:
        raise ShmRefused(f"{path} is in use by another running server")
    if error == EINVAL:
        raise ShmError(f"{path} is not a shared memory file: shorter than its header")
    if error == ENOSPC:
        raise ShmRefused(f"{path} needs {size} bytes and its file system has no room for them")
    if error:
        raise ShmRefused(f"{path} cannot be mapped: {strerror(error).decode()}")
    arena.base = <unsigned char *>base
    arena.size = size
    arena.path = path
    return arena


@cython.final
cdef class Arena:

    def __cinit__(self):
        self.base = NULL
        self.size = 0
        self.descriptor = -1
        self.path = ""
        self.lock_wait_ns = 20_000_000

    @staticmethod
    def create(str path, size_t size):
        return _map(path, SHM_CREATE, size)

    @staticmethod
    def own(str path):
        return _map(path, SHM_OWN, 0)

    @staticmethod
    def join(str path):
        return _map(path, SHM_JOIN, 0)

    @staticmethod
    def peek(str path):
        return _map(path, SHM_PEEK, 0)

    @staticmethod
    def anonymous(size_t size):
        return _map("anonymous shared memory", SHM_ANONYMOUS, size)

    @staticmethod
    def inherit(int descriptor, str path):
        return _map(path, SHM_INHERIT, 0, descriptor)

    def close(self):
        if self.base is not NULL:
            munmap(self.base, self.size)
            self.base = NULL
            self.size = 0
        if self.descriptor >= 0:
            close_descriptor(self.descriptor)
            self.descriptor = -1

    def __dealloc__(self):
        if self.base is not NULL:
            munmap(self.base, self.size)
        if self.descriptor >= 0:
            close_descriptor(self.descriptor)

    cdef int _within(self, size_t at, size_t length, size_t align) except -1:
        if length > self.size or at > self.size - length or at & (align - 1):
            raise ShmError(f"{self.path}: {length} bytes at {at} are outside or not aligned")
        return 0

    cpdef uint16_t u16(self, size_t at) except? 65535:
        self._within(at, 2, 2)
        return load_u16(<uint16_t *>(self.base + at))

    cpdef uint32_t u32(self, size_t at) except? 4294967295:
        self._within(at, 4, 4)
        return load_u32(<uint32_t *>(self.base + at))

    cpdef uint64_t u64(self, size_t at) except? 18446744073709551615:
        self._within(at, 8, 8)
        return load_u64(<uint64_t *>(self.base + at))

    cpdef int put_u16(self, size_t at, uint16_t value) except -1:
        self._within(at, 2, 2)
        store_u16(<uint16_t *>(self.base + at), value)
        return 0

    cpdef int put_u32(self, size_t at, uint32_t value) except -1:
        self._within(at, 4, 4)
        store_u32(<uint32_t *>(self.base + at), value)
        return 0

    cpdef int put_u64(self, size_t at, uint64_t value) except -1:
        self._within(at, 8, 8)
        store_u64(<uint64_t *>(self.base + at), value)
        return 0

    cpdef int add_u64(self, size_t at, int64_t amount) except -1:
        self._within(at, 8, 8)
        SHM_CLAIM(<uint64_t *>(self.base + at), <uint64_t>amount)
        return 0

    cpdef int count_u64(self, size_t at, int64_t amount) except -1:
        self._within(at, 8, 8)
        store_u64(<uint64_t *>(self.base + at), load_u64(<uint64_t *>(self.base + at)) + amount)
        return 0

    cpdef bint swap_u32(self, size_t at, uint32_t expected, uint32_t value) except -1:
        self._within(at, 4, 4)
        return shm_swap_u32(<uint32_t *>(self.base + at), expected, value)

    cpdef uint64_t claim_u64(self, size_t at, uint64_t amount) except? 18446744073709551615:
        self._within(at, 8, 8)
        return SHM_CLAIM(<uint64_t *>(self.base + at), amount)

    cpdef bint swap_u64(self, size_t at, uint64_t expected, uint64_t value) except -1:
        self._within(at, 8, 8)
        return shm_swap_u64(<uint64_t *>(self.base + at), expected, value)

    cpdef uint64_t sum_fresh(self, size_t at, size_t words, uint32_t oldest,
                             uint32_t span) except? 0:
        self._within(at, 8 * words, 8)
        return shm_sum_fresh(<uint64_t *>(self.base + at), words, oldest, span)

    cpdef bint unchanged(self, size_t at, uint32_t value) except -1:
        self._within(at, 4, 4)
        SHM_FENCE_ACQUIRE()
        return load_u32(<uint32_t *>(self.base + at)) == value

    cpdef int fence(self) except -1:
        SHM_FENCE()
        return 0

    cpdef int put(self, size_t at, bytes data) except -1:
        cdef size_t length = PyBytes_GET_SIZE(data)
        self._within(at, length, 1)
        shm_put(self.base + at, PyBytes_AS_STRING(data), length)
        return 0

    cpdef int zero(self, size_t at, size_t length) except -1:
        self._within(at, length, 1)
        CRASHPOINT()
        memset(self.base + at, 0, length)
        return 0

    cpdef bint is_zero(self, size_t at, size_t length) except -1:
        self._within(at, length, 1)
        if length == 0:
            return True
        return self.base[at] == 0 and memcmp(self.base + at, self.base + at + 1, length - 1) == 0

    cpdef bytes copy(self, size_t at, size_t length):
        self._within(at, length, 1)
        return PyBytes_FromStringAndSize(<char *>self.base + at, length)

    cpdef bint equals(self, size_t at, bytes data) except -1:
        cdef size_t length = PyBytes_GET_SIZE(data)
        self._within(at, length, 1)
        return memcmp(self.base + at, PyBytes_AS_STRING(data), length) == 0

    cpdef int warm(self, size_t at, size_t length) except -1:
        cdef size_t line
        self._within(at, length, 1)
        for line in range(0, length, 64):
            SHM_WARM(self.base + at + line)
        return 0

    cpdef uint64_t fold(self, size_t at, size_t length, uint64_t seed) except? 0:
        self._within(at, length, 1)
        return shm_fold(self.base + at, length, seed)

    cpdef int make_lock(self, size_t at) except -1:
        self._within(at, 48, 8)
        memset(self.base + at, 0, SIZEOF_LOCK)
        if shm_make_lock(self.base + at):
            raise ShmError(f"{self.path}: this system has no robust process-shared mutex")
        return 0

    cpdef bint lock(self, size_t at) except -1:
        cdef int error
        self._within(at, 48, 8)
        error = shm_lock(self.base + at, self.lock_wait_ns)
        if error == 0 or error == EOWNERDEAD:
            return error == EOWNERDEAD
        if error == ETIMEDOUT or error == EBUSY:
            raise LockTimeout(f"{self.path}: the lock at {at} was held for too long")
        raise ShmError(f"{self.path}: the lock at {at} is unusable: {strerror(error).decode()}")

    cpdef int try_lock(self, size_t at) except -1:
        cdef int error
        self._within(at, 48, 8)
        error = shm_try_lock(self.base + at)
        if error == 0:
            return 0
        if error == EOWNERDEAD:
            return 1
        if error == EBUSY:
            return 2
        raise ShmError(f"{self.path}: the lock at {at} is unusable: {strerror(error).decode()}")

    cpdef int adopt(self, size_t at) except -1:
        self._within(at, 48, 8)
        if shm_adopt(self.base + at):
            raise ShmError(f"{self.path}: the lock at {at} cannot be adopted")
        return 0

    cpdef int unlock(self, size_t at) except -1:
        self._within(at, 48, 8)
        if shm_unlock(self.base + at):
            raise ShmError(f"{self.path}: the lock at {at} is not held by this process")
        return 0
