cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.shm.arena cimport Arena, fold

cdef uint64_t _LOW
cdef size_t _LINE, _STRIPES, _STRIPES_AT, _INDEX_AT, _OP, _OP_GROUP, _OP_MEMBER, _OP_BEFORE
cdef uint32_t _JOIN, _LEAVE, _CLAIM
cdef size_t _GROUP, _GENERATION, _COUNT, _KEY_LENGTH, _KEY, _REMOTES, _REMOTE
cdef Py_ssize_t _KEY_BYTES
cdef size_t _MEMBER, _OWNER, _JOINED_AT, _DIALOG_HASH, _DID
cdef uint32_t _GROUP_WINDOW, _MEMBER_WINDOW


@cython.final
cdef class ProfileTable:
    cdef readonly Arena arena
    cdef readonly uint32_t groups, members
    cdef readonly uint64_t seed
    cdef readonly size_t groups_at, members_at
    cdef readonly long long repairs

    @cython.locals(hash32=uint32_t, stripe_at=size_t, group=int64_t, group_at=size_t,
                   count=uint32_t, member=int64_t, member_at=size_t)
    cpdef bint join(self, bytes key, bytes did, uint32_t dialog_hash, uint32_t limit,
                    uint64_t now, bint may_be_in=*) except -1
    @cython.locals(hash32=uint32_t, stripe_at=size_t, group=int64_t, member=int64_t)
    cpdef bint leave(self, bytes key, bytes did, uint64_t now) except -1
    @cython.locals(hash32=uint32_t, stripe_at=size_t, group=int64_t, at=size_t)
    cpdef bint accept(self, bytes key, uint32_t node, uint32_t incarnation, uint32_t count,
                      uint32_t expires_at, uint64_t now) except -1
    @cython.locals(hash32=uint32_t, group=int64_t, group_at=size_t, generation=uint32_t,
                   size=uint32_t)
    cpdef uint32_t size(self, bytes key, uint64_t now) except? 0
    cpdef bint has(self, bytes key) except *
    @cython.locals(stripe=size_t)
    cpdef finish_steps(self)
    cpdef bytes key_at(self, uint32_t group)
    @cython.locals(found=list, group=uint32_t, group_at=size_t, key=bytes, count=uint32_t)
    cpdef list counts(self, bytes prefix, uint64_t now)
    @cython.locals(group=int64_t, found=list, member=uint32_t, at=size_t)
    cpdef list list_members(self, bytes key)
    @cython.locals(found=list, member=uint32_t, at=size_t, owner=uint32_t, key=bytes, did=bytes,
                   dialog_hash=uint32_t)
    cpdef tuple rows(self, uint32_t cursor, Py_ssize_t limit)
    @cython.locals(group=uint32_t, end=uint32_t, at=size_t)
    cpdef uint32_t mend_groups(self, uint32_t cursor, uint32_t limit, uint64_t now) except? 1
    @cython.locals(at=size_t, owner=uint32_t, group=uint32_t, stripe_at=size_t)
    cpdef bint mend_member(self, uint32_t member) except -1
    @cython.locals(hash32=uint32_t, stripe_at=size_t)
    cpdef bint mend_group(self, uint32_t group, uint64_t now) except -1
    cpdef uint32_t hash_of(self, bytes key) except 0
    @cython.locals(at=size_t)
    cdef size_t _acquire(self, uint32_t hash32) except 0
    @cython.locals(op=uint32_t, group=uint32_t, before=uint32_t, at=size_t, owner=uint32_t,
                   is_member=bint, count=uint32_t)
    cdef int _repair(self, size_t stripe_at) except -1
    cdef int _note(self, size_t stripe_at, uint32_t op, uint32_t group, uint32_t member,
                   uint32_t before) except -1
    @cython.locals(group_at=size_t, count=uint32_t)
    cdef int _remove(self, size_t stripe_at, uint32_t group, uint32_t member,
                     uint64_t now) except -1
    @cython.locals(length=size_t, mask=uint32_t, step=uint32_t, group=uint32_t, at=size_t)
    cdef int64_t _find(self, bytes key, uint32_t hash32) except -2
    @cython.locals(mask=uint32_t, step=uint32_t, group=uint32_t, at=size_t)
    cdef int64_t _found(self, bytes key, uint32_t hash32) except -1
    @cython.locals(at=size_t)
    cdef bint _release_if_empty(self, uint32_t group, uint64_t now) except -1
    @cython.locals(mask=uint32_t, step=uint32_t, member=uint32_t, first=uint64_t)
    cdef int64_t _claim(self, uint32_t group, bytes did) except -1
    @cython.locals(mask=uint32_t, step=uint32_t, member=uint32_t, first=uint64_t, at=size_t)
    cdef int64_t _member(self, uint32_t group, bytes did) except -2
    @cython.locals(total=uint32_t, at=size_t)
    cdef uint32_t _remote(self, size_t group_at, uint64_t now) except? 0
    @cython.locals(free=size_t, at=size_t)
    cdef size_t _remote_place(self, size_t group_at, uint32_t node, uint64_t now) except? 0
    @cython.locals(length=Py_ssize_t)
    cdef bytes _key_of(self, size_t group_at)


cdef uint32_t _power_of_two(long long least) except 0
