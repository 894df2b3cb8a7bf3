"""Where things are in the bytes of a dialog's record, version 2.

The key is Call-ID, a zero byte, and the tag of the caller; for another INVITE under the same names
a zero byte and the did follow. Numbers are little-endian; times in ms and s are milliseconds and
seconds since 1970; 0 stands for "not yet".

    0   u8  format (2)      1   u8  callee legs     2   u8  state           3   u8  profiles joined
    4   u32 total length    8   u64 version (HLC)
    16  the did: u64 counter, u32 epoch, u16 node, u16 zero
    32  u64 created ms      40  u64 answered ms     48  u64 ended ms
    56  u32 timeout at s    60  u32 lifetime s      64  u32 due s: when somebody has to look at it
    68  u32 flags           72  u32 the policy's flags
    76  u32 CSeq of the INVITE
    80  u16 end reason      82  u16 end code        84  u16 owner node      86  u16 zero
    88  u16 lengths of: From URI, To URI, caller's contact, its routes, its socket, sharing tag,
            variables, profiles, source address, caller's SDP, the address at which the caller is
            reached if not at its contact, From and To URI as they were sent on if not as they came
    114 u16 zero
    116 u32 hash of the branch of the INVITE, which tells it from others under the same names;
        the same on every node
    120 80 bytes per callee leg:
        0   u8 state        1   u8 flags            2   u16 end code        4   u16 end reason
        6   u16 zero        8   u32 its last CSeq   12  u32 the caller's last CSeq towards it
        16  u32 last CSeq we made towards it        20  u32 last CSeq we made towards the caller
        24  u64 answered ms                         32  u64 ended ms
        40  u32 offset of its strings behind the last leg
        44  u16 lengths of: tag, contact, routes, socket, destination address, SDP, the address that
            it is reached at if not at its contact
        58  u16 zero
        60  when we last made a request towards the callee: u32 the caller's last CSeq,
            64 u32 how far CSeqs up to that one are shifted (numbering.py)
        68  when we last made a request towards the caller: u32 the callee's last CSeq,
            72 u32 how far CSeqs up to that one are shifted
        76  u32 zero
    …   the strings: the dialog's, in that order, then those of the legs

Routes are Route values from us to that side, in the order they are sent, joined by commas, our own
left out. A socket is our listener's host and port as it is configured. Variables and profiles are
u8 length, name, u16 length, value, one after the other.
"""

from typing import Final

FORMAT: Final = 2
HEAD: Final = 120
LEG: Final = 80

AT_LEGS: Final = 1
AT_STATE: Final = 2
AT_PROFILES: Final = 3
AT_LENGTH: Final = 4
AT_VERSION: Final = 8
AT_DID: Final = 16
AT_EPOCH: Final = 24
AT_NODE: Final = 28
DID_END: Final = 32
AT_CREATED: Final = 32
AT_ANSWERED: Final = 40
AT_ENDED: Final = 48
AT_TIMEOUT: Final = 56
AT_LIFETIME: Final = 60
AT_DUE: Final = 64
AT_FLAGS: Final = 68
AT_USER_FLAGS: Final = 72
AT_INVITE_CSEQ: Final = 76
AT_END_REASON: Final = 80
AT_END_CODE: Final = 82
AT_OWNER: Final = 84
AT_LENGTHS: Final = 88
AT_BRANCH: Final = 116

FROM_URI: Final = 0
TO_URI: Final = 1
CONTACT: Final = 2
ROUTES: Final = 3
SOCKET: Final = 4
SHARING_TAG: Final = 5
VARIABLES: Final = 6
PROFILES: Final = 7
SOURCE: Final = 8
SDP: Final = 9
REACHED: Final = 10
MANGLED_FROM: Final = 11
MANGLED_TO: Final = 12
STRINGS: Final = 13

LEG_STATE: Final = 0
LEG_FLAGS: Final = 1
LEG_END_CODE: Final = 2
LEG_END_REASON: Final = 4
LEG_CSEQ: Final = 8
LEG_CALLER_CSEQ: Final = 12
LEG_GENERATED: Final = 16
LEG_CALLER_GENERATED: Final = 20
LEG_ANSWERED: Final = 24
LEG_ENDED: Final = 32
LEG_AT_STRINGS: Final = 40
LEG_LENGTHS: Final = 44
LEG_SINCE: Final = 60
LEG_BEFORE: Final = 64
LEG_CALLER_SINCE: Final = 68
LEG_CALLER_BEFORE: Final = 72

LEG_TAG: Final = 0
LEG_CONTACT: Final = 1
LEG_ROUTES: Final = 2
LEG_SOCKET: Final = 3
LEG_DESTINATION: Final = 4
LEG_SDP: Final = 5
LEG_REACHED: Final = 6
LEG_STRINGS: Final = 7

# Flags: OpenSIPS' of create_dialog, by its letters B P p R r E.
BYE_ON_TIMEOUT: Final = 1
PING_CALLER: Final = 2
PING_CALLEE: Final = 4
REINVITE_PING_CALLER: Final = 8
REINVITE_PING_CALLEE: Final = 16
END_ON_RACE: Final = 32
LETTERS: Final = {
    "B": BYE_ON_TIMEOUT,
    "P": PING_CALLER,
    "p": PING_CALLEE,
    "R": REINVITE_PING_CALLER,
    "r": REINVITE_PING_CALLEE,
    "E": END_ON_RACE,
}
RACE: Final = 512  # a CANCEL and a 2xx crossed
CANCELLED: Final = 1024
END_WANTED: Final = 2048  # somebody wants it ended, for the end reason that is set
BYES_OPEN: Final = 4096  # it has ended by us, and a BYE of ours may not have arrived yet
SEALED: Final = 8192  # its call detail record is being written: it has ended for good
WRITTEN: Final = 32768  # and has been: only that it has ended is still remembered, for peers

# Flags of a leg.
LEG_HAS_BYE: Final = 1  # somebody has hung up, perhaps before there was an answer
BYE_TO_CALLEE: Final = 2  # a BYE of ours has no final response yet
BYE_TO_CALLER: Final = 4

# What a record counts for in the table's sum of units: early in the low half, active in the high.
UNITS_EARLY: Final = 1
UNITS_ACTIVE: Final = 1 << 16

NEVER: Final = 0xFFFF_FFFF  # as a moment: nobody has to look at it

REFUSED: Final = 1  # in the place of a stamp: the table could not be written to
