"""Types of Message and its parser."""

cimport cython

from proxy.sip.grammar cimport (
    cut,
    TOKEN,
    Bytes,
    PRINTABLE,
    header_id_at,
    name_length,
    same_name,
    scan_number,
    span_printable,
    word_at,
)
from proxy.sip.headers cimport NameAddr, Via, parse_name_addr, parse_via, split_commas
from proxy.sip.lines cimport (
    check_call_id,
    method_name,
    skip_name,
    skip_odd_byte,
    skip_request_uri,
    skip_status_line,
    skip_version,
    without_name_space,
)
from proxy.sip.uri cimport Uri, parse_uri
from proxy.sip.values cimport scan_cseq, scan_parties, scan_via

cdef unsigned long long SINGLETON_BITS
cdef unsigned long long REQUIRED_BITS
cdef int _DATAGRAM_BYTES
cdef int _HEADER_LINES
cdef int _HEADER_LINE_BYTES
cdef int _MAX_FORWARDS
cdef int _VIA_HOPS
cdef int _METHOD_BYTES
cdef unsigned long long _BRANCH_IS
cdef int CALL_ID
cdef int CONTENT_LENGTH
cdef int CSEQ
cdef int FROM
cdef int MAX_FORWARDS
cdef int TO
cdef int VIA


@cython.final
cdef class Message:
    cdef readonly bytes data
    cdef readonly bint is_request
    cdef readonly str method
    cdef readonly int status
    cdef readonly bytes request_uri
    cdef readonly bytes call_id
    cdef readonly bytes from_tag
    cdef readonly bytes to_tag
    cdef readonly unsigned int cseq
    cdef readonly str cseq_method
    cdef readonly bytes branch
    cdef public bytes transaction_key  # b"" until the transaction layer has made it
    cdef readonly int max_forwards
    cdef readonly int content_length
    cdef readonly int start
    cdef readonly int first_line_end
    cdef readonly int headers_end
    cdef readonly int body_start
    cdef readonly int body_end
    cdef readonly int header_count
    cdef readonly int via_count
    cdef Uri _uri
    cdef Via _via
    cdef unsigned long long _seen
    # One row per header line; the chains of equal headers hold index + 1, 0 ends them.
    cdef unsigned char header_id[128]
    cdef unsigned short name_start[129]
    cdef unsigned short value_start[128]
    cdef unsigned short value_end[128]
    cdef unsigned char _next[128]
    cdef unsigned char _first[64]
    cdef unsigned char _last[64]
    # What scan_via and scan_name_addr found; their docstrings number the slots.
    cdef int via_at[24]
    cdef int from_at[24]
    cdef int to_at[24]

    cdef int _begin(self, bytes data) except -1
    cpdef int first_of(self, int header_id) except -2
    cpdef int next_of(self, int index) except -2
    cpdef bint has(self, int header_id) except -1
    @cython.locals(text=bytes)
    cpdef bytes value(self, int index)
    cpdef bytes sent_by(self)
    @cython.locals(at=int, sent_by_end=int)
    cpdef bytes sent_by_and_branch(self)
    cpdef int sent_by_port(self) except -1
    cpdef bint wants_rport(self) except *
    cpdef tuple span(self, int index)
    @cython.locals(index=int)
    cpdef header(self, int header_id)
    @cython.locals(index=int, found=list)
    cpdef list headers(self, int header_id)
    cpdef list values(self, int header_id)
    cpdef list named(self, bytes name)
    @cython.locals(index=int, start=int, end=int, own=bytes, wanted=int, found=list, matches=bint)
    cpdef list lines_named(self, bytes name)


@cython.locals(made=Message, p=Bytes, i=int, end=int)
cpdef Message parse(bytes data)
@cython.locals(i=int, uri_start=int)
cdef int _read_request_line(Message made, Bytes p, int start, int end) except -1
@cython.locals(
    count=int, start=int, at=int, number=int, value=int, length=int,
    seen="unsigned long long", one="unsigned long long",
)
cdef int _read_headers(Message made, Bytes p, int i, int end) except -2
cdef int _note_again(Message made, int number, int count) except -1
@cython.locals(
    start="unsigned short *", end="unsigned short *", index=int, at=int, to=int
)
cdef int _read_required(Message made, Bytes p) except -1
@cython.locals(index=int, out="int[24]", end=int, i=int, count=int)
cdef int _read_vias(Message made, Bytes p) except -1
@cython.locals(index=int, out="int[24]")
cdef int _read_cseq(Message made, Bytes p) except -1
@cython.locals(index=int, number="long long")
cdef int _read_numbers(Message made, Bytes p) except -1
