"""Every counter of the shared counter matrix: its column, its name, and whether it is a gauge.

The names are OpenSIPS' (`group:name`, as `get_statistics` prints them), so that what watches an
OpenSIPS can watch sipherd; the group `sipherd` holds what OpenSIPS has no word for. A column is the
position in `NAMES`. Add new ones at the end of their group: the process table's file is made anew
at every start, so the numbers may move between versions. Values that can be derived (table fill,
uptime) are not counters: the control process computes them when asked.
"""

from typing import Final

# core
RCV_REQUESTS: Final = 0  # requests received that parsed
RCV_REPLIES: Final = 1
FWD_REQUESTS: Final = 2  # branches sent on
FWD_REPLIES: Final = 3
DROP_REQUESTS: Final = 4  # dropped on purpose, without an answer
DROP_REPLIES: Final = 5
ERR_REQUESTS: Final = 6  # refused as bogus
ERR_REPLIES: Final = 7
BAD_URIS_RCVD: Final = 8
BAD_MSG_HDR: Final = 9

# sl: answers sent without a transaction
SL_1XX_REPLIES: Final = 10
SL_2XX_REPLIES: Final = 11
SL_3XX_REPLIES: Final = 12
SL_4XX_REPLIES: Final = 13
SL_5XX_REPLIES: Final = 14
SL_6XX_REPLIES: Final = 15
SL_SENT_REPLIES: Final = 16
SL_SENT_ERR_REPLIES: Final = 17
SL_RECEIVED_ACKS: Final = 18

# tm
TM_RECEIVED_REPLIES: Final = 19
TM_RELAYED_REPLIES: Final = 20
TM_LOCAL_REPLIES: Final = 21
TM_UAS_TRANSACTIONS: Final = 22
TM_UAC_TRANSACTIONS: Final = 23
TM_2XX_TRANSACTIONS: Final = 24
TM_3XX_TRANSACTIONS: Final = 25
TM_4XX_TRANSACTIONS: Final = 26
TM_5XX_TRANSACTIONS: Final = 27
TM_6XX_TRANSACTIONS: Final = 28
TM_INUSE_TRANSACTIONS: Final = 29  # gauge: each worker keeps its own count
TM_RETRANSMISSION_REQ_T1_1: Final = 30
TM_RETRANSMISSION_REQ_T1_2: Final = 31
TM_RETRANSMISSION_REQ_T1_3: Final = 32
TM_RETRANSMISSION_REQ_T2: Final = 33
TM_RETRANSMISSION_RPL_T2: Final = 34
TM_TIMEOUT_FINALRESPONSE: Final = 35
TM_TIMEOUT_FINALRESPONSE_INV: Final = 36

# registrar, usrloc
REGISTRAR_ACCEPTED_REGS: Final = 37
REGISTRAR_REJECTED_REGS: Final = 38
USRLOC_LOCATION_EXPIRES: Final = 39  # contacts that ran out

# sipherd: receiving
RECEIVED_DATAGRAMS: Final = 40
SENT_DATAGRAMS: Final = 41
SEND_ERRORS: Final = 42
RECEIVE_DROPS: Final = 43  # the kernel's: SO_RXQ_OVFL
KEEPALIVES: Final = 44
STUN: Final = 45
DROPPED_MALFORMED: Final = 46  # no answer possible: responses, ACKs, no Via
HANDED_OFF: Final = 47  # to the worker that owns the Call-ID
HANDED_IN: Final = 48
INBOX_FULL: Final = 49
INBOX_WAKEUPS: Final = 50

# sipherd: deciding
STATELESS_REQUESTS: Final = 51  # ACK, CANCEL without a transaction, sent on after the hash check
STATELESS_RESPONSES: Final = 52
RETRANSMISSIONS_ABSORBED: Final = 53
TRANSACTIONS_REFUSED: Final = 54  # the worker holds as many as it may
LOOPS_DETECTED: Final = 55
TOO_MANY_HOPS: Final = 56
TIMER_C_FIRED: Final = 57
POLICY_ERRORS: Final = 58
DNS_QUERIES: Final = 59
DNS_FAILURES: Final = 60

# sipherd: tables
TABLE_FULL: Final = 61
LOCK_TIMEOUTS: Final = 62
CORRUPT_RECORDS: Final = 63  # read as absent
COMMIT_CONFLICTS: Final = 64  # tried again: another process was ahead
REPAIRS: Final = 65
SLOTS_SCAVENGED: Final = 66

# sipherd: processes
RESTARTS: Final = 67
HANGS: Final = 68
LOG_LINES_DROPPED: Final = 69
TURNS: Final = 70  # of a worker's loop: datagrams per turn say how batched it runs
INTERNAL_ERRORS: Final = 71  # an exception nobody expected; its traceback is in the log

NAMES: Final = (
    "core:rcv_requests",
    "core:rcv_replies",
    "core:fwd_requests",
    "core:fwd_replies",
    "core:drop_requests",
    "core:drop_replies",
    "core:err_requests",
    "core:err_replies",
    "core:bad_URIs_rcvd",
    "core:bad_msg_hdr",
    "sl:1xx_replies",
    "sl:2xx_replies",
    "sl:3xx_replies",
    "sl:4xx_replies",
    "sl:5xx_replies",
    "sl:6xx_replies",
    "sl:sent_replies",
    "sl:sent_err_replies",
    "sl:received_ACKs",
    "tm:received_replies",
    "tm:relayed_replies",
    "tm:local_replies",
    "tm:UAS_transactions",
    "tm:UAC_transactions",
    "tm:2xx_transactions",
    "tm:3xx_transactions",
    "tm:4xx_transactions",
    "tm:5xx_transactions",
    "tm:6xx_transactions",
    "tm:inuse_transactions",
    "tm:retransmission_req_T1_1",
    "tm:retransmission_req_T1_2",
    "tm:retransmission_req_T1_3",
    "tm:retransmission_req_T2",
    "tm:retransmission_rpl_T2",
    "tm:timeout_finalresponse",
    "tm:timeout_finalresponse_inv",
    "registrar:accepted_regs",
    "registrar:rejected_regs",
    "usrloc:location-expires",
    "sipherd:received_datagrams",
    "sipherd:sent_datagrams",
    "sipherd:send_errors",
    "sipherd:receive_drops",
    "sipherd:keepalives",
    "sipherd:stun",
    "sipherd:dropped_malformed",
    "sipherd:handed_off",
    "sipherd:handed_in",
    "sipherd:inbox_full",
    "sipherd:inbox_wakeups",
    "sipherd:stateless_requests",
    "sipherd:stateless_responses",
    "sipherd:retransmissions_absorbed",
    "sipherd:transactions_refused",
    "sipherd:loops_detected",
    "sipherd:too_many_hops",
    "sipherd:timer_c_fired",
    "sipherd:policy_errors",
    "sipherd:dns_queries",
    "sipherd:dns_failures",
    "sipherd:table_full",
    "sipherd:lock_timeouts",
    "sipherd:corrupt_records",
    "sipherd:commit_conflicts",
    "sipherd:repairs",
    "sipherd:slots_scavenged",
    "sipherd:restarts",
    "sipherd:hangs",
    "sipherd:log_lines_dropped",
    "sipherd:turns",
    "sipherd:internal_errors",
)

COUNT: Final = len(NAMES)
GAUGES: Final = frozenset({TM_INUSE_TRANSACTIONS})  # set to 0 in the row of a process that died
SL_CLASS_REPLIES: Final = SL_1XX_REPLIES - 1  # + first digit of the status
TM_CLASS_TRANSACTIONS: Final = TM_2XX_TRANSACTIONS - 2  # + first digit of the status (2..6)
