"""Types of credentials."""

cimport cython

from proxy.sip.grammar cimport HEX, LWS, Bytes, cut, same_name, scan_param, skip_lws

cdef int _USERNAME_BYTES, _REALM_BYTES, _NONCE_BYTES, _URI_BYTES, _PARAMS
cdef int _USERNAME, _REALM, _NONCE, _URI, _RESPONSE, _ALGORITHM
cdef int _CNONCE, _OPAQUE, _QOP, _NC, _OTHER_NAME
cdef dict _NUMBERS
cdef tuple _SIZES
cdef tuple _WORDS
cdef dict _QOPS


@cython.final
cdef class Credentials:
    cdef readonly bytes username
    cdef readonly bytes realm
    cdef readonly bytes nonce
    cdef readonly bytes uri
    cdef readonly bytes response
    cdef readonly int algorithm
    cdef readonly int qop
    cdef readonly bytes qop_text
    cdef readonly long long nc
    cdef readonly bytes nc_text
    cdef readonly bytes cnonce


@cython.locals(p=Bytes, out="int[24]", end=int, i=int, count=int, slot=int, found=list)
cpdef Credentials parse_credentials(bytes value)
@cython.locals(length=int, slot=int, first=int)
cdef int _slot_of(Bytes p, int start, int end) except -2
@cython.locals(text=bytes)
cdef bytes _text(bytes value, Bytes p, int start, int end)
@cython.locals(made=Credentials, algorithm=bytes)
cdef Credentials _credentials(list found)
@cython.locals(text=bytes)
cdef bytes _required(list found, int slot, str name, int limit)
@cython.locals(p=Bytes, i=int)
cdef int _check_username(bytes username) except -1
@cython.locals(p=Bytes, i=int)
cdef int _check_hex(bytes text, int size, str name) except -1
@cython.locals(qop=bytes)
cdef int _read_qop(Credentials made, list found) except -1
