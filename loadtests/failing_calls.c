/* The n-th call of some function of the system fails, in some processes: LD_PRELOAD this library.
 *
 * FAILING_CALLS_FILE names a file that holds `struct orders`; whoever writes it says which call is
 * to fail, in which processes, and may change it while they run. CALLS, from the command line of
 * the compiler, lists the calls in the order of their numbers. With FAILING_CALLS_TRACE set, who
 * is refused gets a SIGVTALRM at that very place: faulthandler says where.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { NO_CALL, CALLS, CALLS_END };

struct orders {
    _Atomic int64_t lowest, highest; /* the numbers of the processes meant */
    _Atomic int64_t call;            /* what is to fail: one of enum call */
    _Atomic int64_t first, times;    /* the first that fails, and how many do */
    _Atomic int64_t error;           /* what errno says then */
    _Atomic int64_t failed;          /* how many did */
    _Atomic int64_t seen[CALLS_END]; /* calls of each kind by these processes */
};

static struct orders *orders;
static int tracing;

__attribute__((constructor)) static void open_orders(void)
{
    const char *path = getenv("FAILING_CALLS_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    tracing = getenv("FAILING_CALLS_TRACE") != NULL;
    if (page != MAP_FAILED)
        orders = page;
}

static int fails(enum call call)
{
    if (!orders || !orders->lowest)
        return 0;
    int64_t self = getpid();
    if (self < orders->lowest || self > orders->highest)
        return 0;
    int64_t number = ++orders->seen[call];
    if (orders->call != (int64_t)call || number < orders->first ||
        number >= orders->first + orders->times)
        return 0;
    ++orders->failed;
    if (tracing)
        raise(SIGVTALRM);
    errno = (int)orders->error;
    return 1;
}

#define REAL(name) ((__typeof__(name) *)real(&name##_at, #name))
#define REMEMBER(name) static _Atomic(void *) name##_at

static void *real(_Atomic(void *) *at, const char *name)
{
    void *found = *at;

    if (!found)
        *at = found = dlsym(RTLD_NEXT, name);
    return found;
}

/* A wrapper of the same name: WRAP(number, result, type, name, (parameters), (arguments)). */
#define WRAP(call, refused, type, name, parameters, arguments) \
    REMEMBER(name);                                            \
    type name parameters                                       \
    {                                                          \
        if (fails(call))                                       \
            return refused;                                    \
        return REAL(name) arguments;                           \
    }

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

void *malloc(size_t size)
{
    return fails(MALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(MALLOC) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(MALLOC) ? NULL : __libc_realloc(old, size);
}

WRAP(MMAP, MAP_FAILED, void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
     (at, n, prot, flags, fd, from))
WRAP(MMAP, MAP_FAILED, void *, mmap64,
     (void *at, size_t n, int prot, int flags, int fd, off64_t from),
     (at, n, prot, flags, fd, from))

/* A mode that was not given is passed on as whatever stands in its place; nobody looks at it. */
#define WRAP_OPEN(name, parameters, before)          \
    REMEMBER(name);                                  \
    int name(parameters, int flags, ...)             \
    {                                                \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = va_arg(rest, mode_t);          \
        va_end(rest);                                \
        return fails(OPEN) ? -1 : REAL(name)(before, flags, mode); \
    }
#define AND ,
WRAP_OPEN(open, const char *path, path)
WRAP_OPEN(open64, const char *path, path)
WRAP_OPEN(openat, int folder AND const char *path, folder AND path)
WRAP_OPEN(openat64, int folder AND const char *path, folder AND path)

WRAP(READ, -1, ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
WRAP(READ, -1, ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP(READ, -1, ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
WRAP(READ, -1, ssize_t, readv, (int fd, const struct iovec *to, int n), (fd, to, n))
WRAP(WRITE, -1, ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
WRAP(WRITE, -1, ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
WRAP(WRITE, -1, ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at),
     (fd, from, n, at))
WRAP(FSYNC, -1, int, fsync, (int fd), (fd))
WRAP(FSYNC, -1, int, fdatasync, (int fd), (fd))
WRAP(FALLOCATE, errno, int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n))
WRAP(FALLOCATE, errno, int, posix_fallocate64, (int fd, off64_t at, off64_t n), (fd, at, n))
WRAP(TRUNCATE, -1, int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(TRUNCATE, -1, int, ftruncate64, (int fd, off64_t n), (fd, n))
WRAP(UNLINK, -1, int, unlink, (const char *path), (path))
WRAP(LOCK, -1, int, flock, (int fd, int how), (fd, how))

WRAP(FORK, -1, pid_t, fork, (void), ())
WRAP(PIPE, -1, int, pipe2, (int ends[2], int flags), (ends, flags))
WRAP(EVENTFD, -1, int, eventfd, (unsigned count, int flags), (count, flags))
WRAP(SIGNALFD, -1, int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(POLL, -1, int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
WRAP(EPOLL_CREATE, -1, int, epoll_create1, (int flags), (flags))
WRAP(EPOLL_CTL, -1, int, epoll_ctl, (int fd, int what, int of, struct epoll_event *event),
     (fd, what, of, event))
WRAP(EPOLL_WAIT, -1, int, epoll_wait, (int fd, struct epoll_event *events, int n, int ms),
     (fd, events, n, ms))

WRAP(SOCKET, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(SETSOCKOPT, -1, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
     (fd, level, name, value, n))
WRAP(BIND, -1, int, bind, (int fd, __CONST_SOCKADDR_ARG to, socklen_t n), (fd, to, n))
WRAP(ACCEPT, -1, int, accept4, (int fd, __SOCKADDR_ARG who, socklen_t *n, int flags),
     (fd, who, n, flags))
WRAP(RECV, -1, ssize_t, recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
WRAP(RECV, -1, ssize_t, recvfrom,
     (int fd, void *to, size_t n, int flags, __SOCKADDR_ARG who, socklen_t *length),
     (fd, to, n, flags, who, length))
WRAP(RECV, -1, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(SEND, -1, ssize_t, send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
WRAP(SEND, -1, ssize_t, sendto,
     (int fd, const void *from, size_t n, int flags, __CONST_SOCKADDR_ARG to, socklen_t length),
     (fd, from, n, flags, to, length))
WRAP(SEND, -1, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
     (fd, message, flags))
WRAP(RECVMMSG, -1, int, recvmmsg,
     (int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *wait),
     (fd, messages, n, flags, wait))
WRAP(SENDMMSG, -1, int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned n, int flags),
     (fd, messages, n, flags))
