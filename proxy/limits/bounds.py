"""Every bound on what the network may ask of us, with its unit. One test per line."""

from typing import Final

DATAGRAM_BYTES: Final = 65_535
PLACE_BYTES: Final = 2_048  # of a message, for each place its transaction takes
HEADER_LINES: Final = 128  # header lines of one message; more: 400
HEADER_NAME_BYTES: Final = 128  # RFC 4475 longreq has one of 93
HEADER_LINE_BYTES: Final = 8_192  # RFC 4475 longreq is legal and has lines of over 4 k
REQUEST_LINE_BYTES: Final = 8_192
VIA_HOPS: Final = 70  # as many as Max-Forwards would have let through
ROUTES: Final = 32
URI_BYTES: Final = 2_048
AOR_BYTES: Final = 256
CALL_ID_BYTES: Final = 255  # OpenSIPS' `location.callid` column
TAG_BYTES: Final = 128
CONTACT_BYTES: Final = 512
CONTACTS_PER_REGISTER: Final = 32
PATH_BYTES: Final = 1_024
USER_AGENT_BYTES: Final = 128  # stored truncated
INSTANCE_BYTES: Final = 128
CSEQ: Final = 2**31 - 1  # RFC 3261 §8.1.1.5
MAX_FORWARDS: Final = 255
EXPIRES_SECONDS: Final = 2**32 - 1
BRANCHES: Final = 12  # of one fork; more targets: those with the best q are tried
MAX_BREADTH: Final = 60  # RFC 5393 §5.3.3.1
SPIRALS: Final = 8  # times one request may come by here, each time for somebody else
PARAMS: Final = 64  # parameters of one header value or URI
DNS_RECORDS: Final = 8  # servers of one SRV answer, addresses of one server, that are tried
DNS_NAME_BYTES: Final = 253
REMEMBERED_BYTES: Final = 512  # of a text that is kept for the next time it is seen
DNS_CACHE: Final = 4_096  # answers kept
LOCATED_TARGETS: Final = 16  # addresses one next hop may be tried at
PIPE_NAME_BYTES: Final = 64  # of a rate-limit pipe; of a longer one its beginning and a hash
PIPE_SLOTS: Final = 256  # window_size / slot_period
PIPE_NODES: Final = 8  # other nodes whose counts one pipe keeps
PIPE_LIMIT: Final = 2**31 - 1
PENDINGS: Final = 10_000  # questions of one worker's policies that wait for an answer
PENDING_SECONDS: Final = 300  # the longest a policy may wait for one
DIALOG_LEGS: Final = 16  # callees of one INVITE that are told apart
DIALOG_CONTACT_BYTES: Final = 512  # of a remote target; a longer one is not kept
DIALOG_ROUTES_BYTES: Final = 2_048  # of a route set
DIALOG_URI_BYTES: Final = 512  # of From and To; a longer one is kept cut off
DIALOG_VARIABLES_BYTES: Final = 4_096  # names and values together, OpenSIPS' `dialog.vars` column
DIALOG_PROFILES: Final = 8  # that one dialog may be in
PROFILE_NAME_BYTES: Final = 31
PROFILE_VALUE_BYTES: Final = 96
PROFILE_KEY_BYTES: Final = 128  # name and value together
