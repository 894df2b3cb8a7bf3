"""Where things are in the bytes of a location record, version 1.

All numbers are little-endian.

    0   u8  format (1)          1   u8  bindings          2   u16 zero          4   u32 total length
    8   one header of 56 bytes per binding:
        0   u64 version (HLC)   8   u32 expires (absolute seconds, 0 = permanent)
        12  u32 CSeq            16  u32 methods           20  u32 modified (seconds)
        24  u32 reg-id          28  u32 offset of its strings in the record
        32  u16 q (thousandths, 0xFFFF = none)            34  u16 flags         36  u16 origin node
        38  u16 lengths of: contact, received, path, socket, Call-ID, instance, user agent, tag
        54  u16 zero
    …   the strings, in that order
"""

from typing import Final

FORMAT: Final = 1
BRIEF: Final = 2  # between nodes: a record without its strings, see replica.py
HEAD: Final = 8
BINDING: Final = 56

AT_VERSION: Final = 0
AT_EXPIRES: Final = 8
AT_CSEQ: Final = 12
AT_METHODS: Final = 16
AT_MODIFIED: Final = 20
AT_REG_ID: Final = 24
AT_STRINGS: Final = 28
AT_Q: Final = 32
AT_FLAGS: Final = 34
AT_ORIGIN: Final = 36
AT_LENGTHS: Final = 38

CONTACT: Final = 0
RECEIVED: Final = 1
PATH: Final = 2
SOCKET: Final = 3
CALL_ID: Final = 4
INSTANCE: Final = 5
USER_AGENT: Final = 6
TAG: Final = 7
STRINGS: Final = 8

NO_Q: Final = 0xFFFF
NEVER: Final = 0xFFFF_FFFF  # a record without any expiry is due then
LAST_VERSION: Final = 0xFFFF_FFFF_FFFF_FFFF

BEHIND_NAT = 1  # flag: to be reached where the REGISTER came from; bits above are the operator's
REMOVED: Final = 0x8000  # flag, the last bit: the tombstone of a binding, see replica.py
ALL_CONTACTS: Final = b"*"  # of a tombstone: of every binding with a lower version (`Contact: *`)
REMOVED_EXPIRES: Final = 1  # of a tombstone: nobody takes it for live
REMOVED_S: Final = 600  # a tombstone is kept at least this long, then asked about
