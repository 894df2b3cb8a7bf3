"""UDP sockets in batches: recvmmsg and sendmmsg, and the hand-off to the worker that owns a call.

One system call brings in up to BATCH datagrams and one sends as many. Whoever receives a datagram
looks no further than its Call-ID: if another worker owns it, the bytes go to that worker's inbox.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from proxy.shm.inbox cimport Inbox
from proxy.shm.shards cimport Shards
from proxy.shm.slots cimport Counters
from proxy.sip.scanner cimport call_id_hash

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
        int cmsg_level
        int cmsg_type
    cmsghdr *CMSG_FIRSTHDR(msghdr *)
    cmsghdr *CMSG_NXTHDR(msghdr *, cmsghdr *)
    unsigned char *CMSG_DATA(cmsghdr *)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    int SOL_SOCKET, MSG_DONTWAIT, SO_RXQ_OVFL

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout)
    int POLLOUT

cdef enum:
    BATCH = 64
    ROOM = 65536
    CONTROL = 64
    SEND_PATIENCE_MS = 20


cdef class Handoff:
    """Who owns a call, and the way to each owner's inbox.

    Takes this worker's index, the shard table, every worker's inbox and its eventfd, and the
    counter row with the two columns for messages handed off and inboxes found full.
    """
    cdef readonly int index
    cdef Shards shards
    cdef list inboxes
    cdef list eventfds
    cdef Counters counters
    cdef int handed_off
    cdef int inbox_full
    cdef set sleepers

    def __init__(self, int index, Shards shards, list inboxes, list eventfds, Counters counters,
                 int handed_off, int inbox_full):
        self.index = index
        self.shards = shards
        self.inboxes = inboxes
        self.eventfds = eventfds
        self.counters = counters
        self.handed_off = handed_off
        self.inbox_full = inbox_full
        self.sleepers = set()

    cdef bint pass_on(self, int listener, bytes sockaddr, uint64_t received_ns, bytes data) except *:
        """True if the datagram belongs to another worker and is no longer ours."""
        cdef int owner = self.shards.owner(call_id_hash(data))
        cdef int outcome
        if owner == self.index or owner >= len(self.inboxes):
            return False
        outcome = (<Inbox>self.inboxes[owner]).push(listener, sockaddr, received_ns, data)
        if outcome == 0:
            self.counters.add(self.inbox_full, 1)
        else:
            self.counters.add(self.handed_off, 1)
            if outcome == 2:
                self.sleepers.add(owner)
        return True

    cpdef wake(self):
        """Wake the owners that were asleep when something was put into their inbox."""
        for owner in self.sleepers:
            try:
                os.eventfd_write(self.eventfds[owner], 1)
            except BlockingIOError:
                pass  # its count is at the maximum: the owner has been told often enough
        self.sleepers.clear()


cdef class DatagramSocket:
    """One bound UDP socket of one worker."""
    cdef readonly int fd
    cdef readonly int listener
    cdef readonly uint32_t drops
    cdef mmsghdr *incoming
    cdef mmsghdr *outgoing
    cdef iovec *vectors
    cdef sockaddr_storage *sources
    cdef char *buffers
    cdef char *controls
    cdef bytes last_source

    def __cinit__(self, int fd, int listener):
        self.fd = fd
        self.listener = listener
        self.last_source = b""
        self.incoming = <mmsghdr *>calloc(BATCH, sizeof(mmsghdr))
        self.outgoing = <mmsghdr *>calloc(BATCH, sizeof(mmsghdr))
        self.vectors = <iovec *>calloc(2 * BATCH, sizeof(iovec))
        self.sources = <sockaddr_storage *>calloc(BATCH, sizeof(sockaddr_storage))
        self.buffers = <char *>calloc(BATCH, ROOM)
        self.controls = <char *>calloc(BATCH, CONTROL)
        if (not self.incoming or not self.outgoing or not self.vectors or not self.sources
                or not self.buffers or not self.controls):
            raise MemoryError("no memory for the datagram buffers")
        cdef int i
        for i in range(BATCH):
            self.vectors[i].iov_base = self.buffers + i * ROOM
            self.vectors[i].iov_len = ROOM
            self.incoming[i].msg_hdr.msg_iov = &self.vectors[i]
            self.incoming[i].msg_hdr.msg_iovlen = 1
            self.incoming[i].msg_hdr.msg_name = &self.sources[i]
            self.outgoing[i].msg_hdr.msg_iov = &self.vectors[BATCH + i]
            self.outgoing[i].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self.incoming)
        free(self.outgoing)
        free(self.vectors)
        free(self.sources)
        free(self.buffers)
        free(self.controls)

    def receive(self, Handoff handoff, uint64_t received_ns, list batch):
        """Take in what waits, at most BATCH datagrams; returns how many there were.

        Ours are appended to `batch` as (listener, sockaddr, received_ns, data), the shape an
        inbox gives; the others have been handed off. Raises OSError for what a socket cannot
        recover from.
        """
        cdef int i, count
        cdef bytes data, source
        for i in range(BATCH):
            self.incoming[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
            self.incoming[i].msg_hdr.msg_control = self.controls + i * CONTROL
            self.incoming[i].msg_hdr.msg_controllen = CONTROL
        with nogil:
            count = recvmmsg(self.fd, self.incoming, BATCH, MSG_DONTWAIT, NULL)
        if count < 0:
            # an ICMP error that belongs to an earlier send is not the receiver's business
            if errno in (EAGAIN, EINTR, ECONNREFUSED):
                return 0
            raise OSError(errno, os.strerror(errno))
        for i in range(count):
            data = PyBytes_FromStringAndSize(self.buffers + i * ROOM, self.incoming[i].msg_len)
            source = self.source_of(i)
            if not handoff.pass_on(self.listener, source, received_ns, data):
                batch.append((self.listener, source, received_ns, data))
        if count:
            self.note_drops(&self.incoming[count - 1].msg_hdr)
        return count

    cdef bytes source_of(self, int i):
        """The sender's raw sockaddr; a run of datagrams from one sender shares one object."""
        cdef socklen_t size = self.incoming[i].msg_hdr.msg_namelen
        cdef bytes last = self.last_source
        if PyBytes_GET_SIZE(last) != <Py_ssize_t>size or memcmp(
            PyBytes_AS_STRING(last), &self.sources[i], size
        ):
            self.last_source = PyBytes_FromStringAndSize(<char *>&self.sources[i], size)
        return self.last_source

    cdef void note_drops(self, msghdr *header) noexcept:
        """Remember the kernel's count of datagrams that found the receive buffer full."""
        cdef cmsghdr *control = CMSG_FIRSTHDR(header)
        while control:
            if control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_RXQ_OVFL:
                self.drops = (<uint32_t *>CMSG_DATA(control))[0]
            control = CMSG_NXTHDR(header, control)

    def send(self, list outbox, Py_ssize_t start, Py_ssize_t end, list failed):
        """Send outbox[start:end], entries (data, address, listener, transaction), in order.

        What the kernel refuses for good is appended to `failed`; a full send buffer is waited
        for at most SEND_PATIENCE_MS.
        """
        cdef Py_ssize_t at = start
        cdef int count, sent
        while at < end:
            count = <int>min(BATCH, end - at)
            self.load(outbox, at, count)
            with nogil:
                sent = sendmmsg(self.fd, self.outgoing, count, MSG_DONTWAIT)
            if sent > 0:
                at += sent
            elif errno == EINTR or (errno == EAGAIN and self.writable()):
                continue
            else:
                failed.append(outbox[at])
                at += 1

    cdef load(self, list outbox, Py_ssize_t at, int count):
        """Point the outgoing headers at `count` entries; the outbox keeps their bytes alive."""
        cdef int i
        cdef bytes data, sockaddr
        cdef tuple entry
        for i in range(count):
            entry = <tuple>outbox[at + i]
            data = <bytes>entry[0]
            sockaddr = entry[1].sockaddr
            self.vectors[BATCH + i].iov_base = PyBytes_AS_STRING(data)
            self.vectors[BATCH + i].iov_len = PyBytes_GET_SIZE(data)
            self.outgoing[i].msg_hdr.msg_name = PyBytes_AS_STRING(sockaddr)
            self.outgoing[i].msg_hdr.msg_namelen = <socklen_t>PyBytes_GET_SIZE(sockaddr)

    cdef bint writable(self) noexcept:
        """Wait briefly for room in the send buffer."""
        cdef pollfd waiting
        waiting.fd = self.fd
        waiting.events = POLLOUT
        waiting.revents = 0
        with nogil:
            return poll(&waiting, 1, SEND_PATIENCE_MS) > 0
