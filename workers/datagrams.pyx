"""UDP sockets in batches: recvmmsg and sendmmsg, and the hand-off to the worker that owns a call.

One system call brings in up to BATCH datagrams. What is to be sent is sorted by destination and
size, and runs of equal size to one destination - a trunk's, a load balancer's - go through the
kernel once (UDP_SEGMENT); each still arrives as a datagram of its own. Whoever receives a datagram
looks no further than its Call-ID: if another worker owns it, the bytes go to that worker's inbox.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from proxy.shm.flood_guard cimport FloodGuard
from proxy.sip.address cimport Address
from proxy.sip.scanner cimport call_id_hash, stands_alone
from proxy.transaction.layer cimport Transaction
from workers.handoff cimport Handoff

import os

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        pass
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        void *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    unsigned char *CMSG_DATA(cmsghdr *)
    size_t CMSG_LEN(size_t)
    size_t CMSG_SPACE(size_t)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    cmsghdr *CMSG_FIRSTHDR(msghdr *)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int SOL_SOCKET, MSG_DONTWAIT

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "time.h" nogil:
    struct timespec:
        int64_t tv_sec
        int64_t tv_nsec

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout)
    int POLLOUT

cdef enum:
    BATCH = 64
    ROOM = 65536 + 1088  # no power of two, or all messages would share a few lines of the cache
    RUN = 64  # UDP_MAX_SEGMENTS of every kernel that has the option
    RUN_BYTES = 60000
    SEGMENT = 1400  # a larger datagram may exceed the path's MTU, which segments must not
    VECTORS = 512
    WINDOW = 256  # entries ordered at a time: what a rank and an index of one byte can tell apart
    BACKLOG = 3  # full batches in a row: more work than one worker has time for
    MOST_DISCARDED = 65536
    CONTROL = 32
    SEND_PATIENCE_MS = 20
    SOL_UDP = 17
    UDP_SEGMENT = 103  # linux/udp.h
    STAMP = 64  # room for the kernel's time of receipt
    SO_TIMESTAMPNS = 35  # asm-generic/socket.h
    SO_MEMINFO = 55  # asm-generic/socket.h
    MEMINFO_DROPS = 8  # linux/sock_diag.h, SK_MEMINFO_DROPS
    MEMINFO_VALUES = 9
    INET6 = 10  # AF_INET6 of linux/socket.h


cdef bint is_stopped(FloodGuard guard, const unsigned char *sockaddr, const char *data,
                     size_t size) except *:
    """Whether the flood guard drops a datagram. Responses were asked for: they are not counted."""
    if size >= 7 and memcmp(data, <const char *>b"SIP/2.0", 7) == 0:
        return False
    return guard.stops(source_number(sockaddr))


def stops(FloodGuard guard, bytes sockaddr, bytes data):
    """Whether `guard` drops a datagram of this sender."""
    cdef bytes padded = sockaddr + bytes(28)
    return is_stopped(guard, <const unsigned char *>PyBytes_AS_STRING(padded),
                      PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef uint64_t source_number(const unsigned char *sockaddr) noexcept:
    """As proxy.limits.source.source_of, from the sockaddr of a received datagram."""
    cdef uint64_t number = 0
    cdef int i
    cdef int v4_at = 4
    if (<const uint16_t *>sockaddr)[0] == INET6:
        for i in range(8, 16):
            number = number << 8 | sockaddr[i]
        if number or sockaddr[16] or sockaddr[17] or sockaddr[18] != 255 or sockaddr[19] != 255:
            return number if number else 1
        v4_at = 20  # ::ffff:192.0.2.1
    number = 0xFFFF
    for i in range(v4_at, v4_at + 4):
        number = number << 8 | sockaddr[i]
    return number


cdef class DatagramSocket:
    """One bound UDP socket of one worker."""
    cdef readonly int fd
    cdef readonly int listener
    cdef public bint segmenting
    cdef mmsghdr *incoming
    cdef mmsghdr *outgoing
    cdef iovec *into
    cdef iovec *pieces
    cdef sockaddr_storage *sources
    cdef char *buffers
    cdef char *controls
    cdef bytes last_source
    cdef public FloodGuard guard
    cdef int full_batches
    cdef char *stamp
    cdef readonly int64_t waited_ns

    def __cinit__(self, int fd, int listener):
        self.fd = fd
        self.listener = listener
        self.segmenting = True
        self.last_source = b""
        self.guard = None
        self.incoming = <mmsghdr *>calloc(BATCH, sizeof(mmsghdr))
        self.outgoing = <mmsghdr *>calloc(BATCH, sizeof(mmsghdr))
        self.into = <iovec *>calloc(BATCH, sizeof(iovec))
        self.pieces = <iovec *>calloc(VECTORS, sizeof(iovec))
        self.sources = <sockaddr_storage *>calloc(BATCH, sizeof(sockaddr_storage))
        self.buffers = <char *>calloc(BATCH, ROOM)
        self.controls = <char *>calloc(BATCH, CONTROL)
        self.stamp = <char *>calloc(1, STAMP)
        if (not self.incoming or not self.outgoing or not self.into or not self.pieces
                or not self.sources or not self.buffers or not self.controls or not self.stamp):
            raise MemoryError("no memory for the datagram buffers")
        cdef int i
        cdef int on = 1
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on))
        for i in range(BATCH):
            self.into[i].iov_base = self.buffers + i * ROOM
            self.into[i].iov_len = ROOM
            self.incoming[i].msg_hdr.msg_iov = &self.into[i]
            self.incoming[i].msg_hdr.msg_iovlen = 1
            self.incoming[i].msg_hdr.msg_name = &self.sources[i]
        self.incoming[0].msg_hdr.msg_control = self.stamp

    def __dealloc__(self):
        free(self.incoming)
        free(self.outgoing)
        free(self.into)
        free(self.pieces)
        free(self.sources)
        free(self.buffers)
        free(self.controls)
        free(self.stamp)

    def receive(
        self, Handoff handoff, int64_t now_ns, int64_t most_ns, list batch, int limit=BATCH
    ):
        """Take in what waits, at most `limit` datagrams; returns how many there were.

        Ours are appended to `batch` as (listener, sockaddr, received_ns, data), the shape an
        inbox gives; the others have been handed off. The kernel's stamp of the first one says
        how long it waited: `waited_ns`, which cannot be more than `most_ns`; the others are taken
        to have come with it. Raises OSError for what a socket cannot recover from.
        """
        cdef int i, count
        cdef bytes data, source
        cdef FloodGuard guard = self.guard
        cdef bint spread
        cdef int64_t received_ns
        self.waited_ns = 0
        self.incoming[0].msg_hdr.msg_controllen = STAMP
        limit = min(limit, BATCH)
        for i in range(limit):
            self.incoming[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        with nogil:
            count = recvmmsg(self.fd, self.incoming, limit, MSG_DONTWAIT, NULL)
        if count < 0:
            # an ICMP error that belongs to an earlier send is not the receiver's business
            if errno in (EAGAIN, EINTR, ECONNREFUSED):
                return 0
            raise OSError(errno, os.strerror(errno))
        self.waited_ns = min(max(now_ns - self.stamped_ns(now_ns), 0), most_ns)
        received_ns = now_ns - self.waited_ns
        self.full_batches = self.full_batches + 1 if count == limit else 0
        spread = self.full_batches >= BACKLOG
        for i in range(count):
            if guard is not None and is_stopped(guard, <const unsigned char *>&self.sources[i],
                                                self.buffers + i * ROOM, self.incoming[i].msg_len):
                continue
            data = PyBytes_FromStringAndSize(self.buffers + i * ROOM, self.incoming[i].msg_len)
            source = self.source_of(i)
            if spread or not stands_alone(data):
                if handoff.pass_on(self.listener, source, received_ns, data):
                    continue
            elif handoff.predecessors is not None and handoff.pass_back(
                call_id_hash(data), self.listener, source, received_ns, data
            ):
                continue
            batch.append((self.listener, source, received_ns, data))
        return count

    cdef int64_t stamped_ns(self, int64_t unknown) noexcept:
        """When the kernel received the first datagram, by the wall clock."""
        cdef cmsghdr *control = CMSG_FIRSTHDR(&self.incoming[0].msg_hdr)
        cdef timespec *when
        if (control == NULL or control.cmsg_level != SOL_SOCKET
                or control.cmsg_type != SO_TIMESTAMPNS):
            return unknown
        when = <timespec *>CMSG_DATA(control)
        return when.tv_sec * 1000000000 + when.tv_nsec

    def discard(self):
        """Throw away what waits, at most MOST_DISCARDED; how many datagrams that were."""
        cdef int count = BATCH
        cdef int discarded = 0
        while count == BATCH and discarded < MOST_DISCARDED:
            with nogil:
                count = recvmmsg(self.fd, self.incoming, BATCH, MSG_DONTWAIT, NULL)
            if count > 0:
                discarded += count
        return discarded

    cdef bytes source_of(self, int i):
        """The sender's raw sockaddr; a run of datagrams from one sender shares one object."""
        cdef socklen_t size = self.incoming[i].msg_hdr.msg_namelen
        cdef bytes last = self.last_source
        if PyBytes_GET_SIZE(last) != <Py_ssize_t>size or memcmp(
            PyBytes_AS_STRING(last), &self.sources[i], size
        ):
            self.last_source = PyBytes_FromStringAndSize(<char *>&self.sources[i], size)
        return self.last_source

    def drops(self):
        """How many datagrams the kernel has dropped because the receive buffer was full."""
        cdef uint32_t values[MEMINFO_VALUES]
        cdef socklen_t size = sizeof(values)
        if getsockopt(self.fd, SOL_SOCKET, SO_MEMINFO, values, &size) < 0:
            raise OSError(errno, os.strerror(errno))
        return values[MEMINFO_DROPS]

    def send(self, list outbox, list failed):
        """Send entries (data, address, listener, transaction), those of one call in their order.

        What the kernel refuses for good is appended to `failed`; a full send buffer is waited
        for at most SEND_PATIENCE_MS.
        """
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t end = len(outbox)
        cdef int messages, sent, i
        outbox = in_runs(outbox)
        while at < end:
            messages = self.load(outbox, at, end)
            with nogil:
                sent = sendmmsg(self.fd, self.outgoing, messages, MSG_DONTWAIT)
            if sent > 0:
                for i in range(sent):
                    at += <Py_ssize_t>self.outgoing[i].msg_hdr.msg_iovlen
            elif errno == EINTR or (errno == EAGAIN and self.writable()):
                continue
            elif self.outgoing[0].msg_hdr.msg_iovlen > 1:
                # a device that cannot segment (EIO), a path with a small MTU (EINVAL)
                self.segmenting = False
            else:
                failed.append(outbox[at])
                at += 1

    cdef int load(self, list outbox, Py_ssize_t at, Py_ssize_t end) except -1:
        """Point the outgoing headers at runs of entries; the outbox keeps their bytes alive."""
        cdef int messages = 0
        cdef int used = 0
        cdef int run
        cdef msghdr *header
        while at < end and messages < BATCH and used + RUN <= VECTORS:
            header = &self.outgoing[messages].msg_hdr
            run = self.load_run(outbox, at, end, &self.pieces[used])
            header.msg_iov = &self.pieces[used]
            header.msg_iovlen = run
            self.address(header, <tuple>outbox[at])
            if run > 1:
                self.segment(header, messages, <uint16_t>self.pieces[used].iov_len)
            at += run
            used += run
            messages += 1
        return messages

    cdef int load_run(self, list outbox, Py_ssize_t at, Py_ssize_t end, iovec *pieces) except -1:
        """How many entries from `at` on can leave as one: same destination, same size.

        The last may be shorter.
        """
        cdef tuple entry = <tuple>outbox[at]
        cdef bytes data = <bytes>entry[0]
        cdef object address = entry[1]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t length = size
        cdef Py_ssize_t most = 1
        cdef int run = 1
        pieces[0].iov_base = PyBytes_AS_STRING(data)
        pieces[0].iov_len = size
        if self.segmenting and 0 < size <= SEGMENT:
            most = min(end - at, RUN, RUN_BYTES // size)
        while run < most and length == size:
            entry = <tuple>outbox[at + run]
            data = <bytes>entry[0]
            length = PyBytes_GET_SIZE(data)
            if entry[1] is not address or length > size or not length:
                break
            pieces[run].iov_base = PyBytes_AS_STRING(data)
            pieces[run].iov_len = length
            run += 1
        return run

    cdef address(self, msghdr *header, tuple entry):
        """The destination of a message, with no control data."""
        cdef bytes sockaddr = (<Address>entry[1]).sockaddr
        header.msg_name = PyBytes_AS_STRING(sockaddr)
        header.msg_namelen = <socklen_t>PyBytes_GET_SIZE(sockaddr)
        header.msg_control = NULL
        header.msg_controllen = 0

    cdef void segment(self, msghdr *header, int index, uint16_t size) noexcept:
        """Ask the kernel to cut a message into datagrams of `size` bytes."""
        cdef cmsghdr *control = <cmsghdr *>(self.controls + index * CONTROL)
        header.msg_control = control
        header.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
        control.cmsg_level = SOL_UDP
        control.cmsg_type = UDP_SEGMENT
        control.cmsg_len = CMSG_LEN(sizeof(uint16_t))
        (<uint16_t *>CMSG_DATA(control))[0] = size

    cdef bint writable(self) noexcept:
        """Wait briefly for room in the send buffer."""
        cdef pollfd waiting
        waiting.fd = self.fd
        waiting.events = POLLOUT
        waiting.revents = 0
        with nogil:
            return poll(&waiting, 1, SEND_PATIENCE_MS) > 0


cdef list in_runs(list outbox):
    """The entries with those of one size to one destination together; each call's in their order.

    A datagram's rank is how many of its call stand before it. All of one rank leave before those
    of the next, and within a rank larger ones first, for a run may end with a shorter one.
    """
    cdef Py_ssize_t at
    cdef list ordered
    if len(outbox) < 3:
        return outbox
    ordered = []
    for at in range(0, len(outbox), WINDOW):
        order_window(outbox, at, min(len(outbox) - at, WINDOW), ordered)
    return ordered


cdef order_window(list outbox, Py_ssize_t at, int count, list ordered):
    """Append `count` entries from `at` on to `ordered`, sorted by what in_runs says."""
    cdef uint32_t calls[WINDOW]
    cdef uint64_t keys[WINDOW]
    cdef uint64_t rank, destination, size
    cdef int i, before
    cdef tuple entry
    cdef bytes data
    cdef Transaction transaction
    for i in range(count):
        entry = <tuple>outbox[at + i]
        data = <bytes>entry[0]
        transaction = <Transaction>entry[3]
        calls[i] = 0 if transaction is None else transaction.call
        if not calls[i]:
            calls[i] = call_id_hash(data)
        rank = 0
        for before in range(i):
            rank += calls[before] == calls[i]
        destination = (<uint64_t><size_t><void *>entry[1] >> 4) & 0xFFFFFFFFu
        size = 0xFFFF - min(PyBytes_GET_SIZE(data), 0xFFFF)
        keys[i] = rank << 56 | destination << 24 | size << 8 | <uint64_t>i
    sort(keys, count)
    for i in range(count):
        ordered.append(outbox[at + (keys[i] & 0xFF)])


cdef void sort(uint64_t *keys, int count) noexcept nogil:
    """Shell's sort, for keys that are few and often in order."""
    cdef int gap = 1
    cdef int i, at
    cdef uint64_t key
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap:
        for i in range(gap, count):
            key = keys[i]
            at = i
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap //= 3
