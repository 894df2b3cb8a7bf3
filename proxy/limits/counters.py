"""Every counter of the shared counter matrix: its column, its name, and whether it is a gauge.

The names are OpenSIPS' (`group:name`, as `get_statistics` prints them), so that what watches an
OpenSIPS can watch sipherd; the group `sipherd` holds what OpenSIPS has no word for. A column is the
position in `NAMES`. The process table's file is made anew at every start, but an upgrade in place
goes on with it: it is refused when the columns of the running version have moved. So what is new
since a release stands at the end. Values that can be derived (table fill, uptime) are not counters:
the control process computes them when asked.
"""

from typing import Final

_names: list[str] = []


def counter(name: str) -> int:
    """The column of a new counter."""
    _names.append(name)
    return len(_names) - 1


# core
RCV_REQUESTS: Final = counter("core:rcv_requests")  # requests received that parsed
RCV_REPLIES: Final = counter("core:rcv_replies")
FWD_REQUESTS: Final = counter("core:fwd_requests")  # branches sent on
FWD_REPLIES: Final = counter("core:fwd_replies")
DROP_REQUESTS: Final = counter("core:drop_requests")  # dropped on purpose, without an answer
DROP_REPLIES: Final = counter("core:drop_replies")
ERR_REQUESTS: Final = counter("core:err_requests")  # refused as bogus
ERR_REPLIES: Final = counter("core:err_replies")
BAD_URIS_RCVD: Final = counter("core:bad_URIs_rcvd")
BAD_MSG_HDR: Final = counter("core:bad_msg_hdr")

# sl: answers sent without a transaction
SL_1XX_REPLIES: Final = counter("sl:1xx_replies")
SL_2XX_REPLIES: Final = counter("sl:2xx_replies")
SL_3XX_REPLIES: Final = counter("sl:3xx_replies")
SL_4XX_REPLIES: Final = counter("sl:4xx_replies")
SL_5XX_REPLIES: Final = counter("sl:5xx_replies")
SL_6XX_REPLIES: Final = counter("sl:6xx_replies")
SL_SENT_REPLIES: Final = counter("sl:sent_replies")
SL_SENT_ERR_REPLIES: Final = counter("sl:sent_err_replies")
SL_RECEIVED_ACKS: Final = counter("sl:received_ACKs")

# tm
TM_RECEIVED_REPLIES: Final = counter("tm:received_replies")
TM_RELAYED_REPLIES: Final = counter("tm:relayed_replies")
TM_LOCAL_REPLIES: Final = counter("tm:local_replies")
TM_UAS_TRANSACTIONS: Final = counter("tm:UAS_transactions")
TM_UAC_TRANSACTIONS: Final = counter("tm:UAC_transactions")
TM_2XX_TRANSACTIONS: Final = counter("tm:2xx_transactions")
TM_3XX_TRANSACTIONS: Final = counter("tm:3xx_transactions")
TM_4XX_TRANSACTIONS: Final = counter("tm:4xx_transactions")
TM_5XX_TRANSACTIONS: Final = counter("tm:5xx_transactions")
TM_6XX_TRANSACTIONS: Final = counter("tm:6xx_transactions")
# gauge: each worker keeps its own count
TM_INUSE_TRANSACTIONS: Final = counter("tm:inuse_transactions")
TM_RETRANSMISSION_REQ_T1_1: Final = counter("tm:retransmission_req_T1_1")
TM_RETRANSMISSION_REQ_T1_2: Final = counter("tm:retransmission_req_T1_2")
TM_RETRANSMISSION_REQ_T1_3: Final = counter("tm:retransmission_req_T1_3")
TM_RETRANSMISSION_REQ_T2: Final = counter("tm:retransmission_req_T2")
TM_RETRANSMISSION_RPL_T2: Final = counter("tm:retransmission_rpl_T2")
TM_TIMEOUT_FINALRESPONSE: Final = counter("tm:timeout_finalresponse")
TM_TIMEOUT_FINALRESPONSE_INV: Final = counter("tm:timeout_finalresponse_inv")

# registrar, usrloc
REGISTRAR_ACCEPTED_REGS: Final = counter("registrar:accepted_regs")
REGISTRAR_REJECTED_REGS: Final = counter("registrar:rejected_regs")
USRLOC_LOCATION_EXPIRES: Final = counter("usrloc:location-expires")  # contacts that ran out

# sipherd: receiving
RECEIVED_DATAGRAMS: Final = counter("sipherd:received_datagrams")
SENT_DATAGRAMS: Final = counter("sipherd:sent_datagrams")
NEIGHBOUR_DATAGRAMS: Final = counter("sipherd:neighbour_datagrams")
SEND_ERRORS: Final = counter("sipherd:send_errors")
RECEIVE_DROPS: Final = counter("sipherd:receive_drops")  # the kernel's: SO_RXQ_OVFL
STALE_DATAGRAMS: Final = counter("sipherd:stale_datagrams")  # waited while a worker stood still
KEEPALIVES: Final = counter("sipherd:keepalives")
STUN: Final = counter("sipherd:stun")
# no answer possible: responses, ACKs, no Via
DROPPED_MALFORMED: Final = counter("sipherd:dropped_malformed")
HANDED_OFF: Final = counter("sipherd:handed_off")  # to the worker that owns the Call-ID
HANDED_IN: Final = counter("sipherd:handed_in")
INBOX_FULL: Final = counter("sipherd:inbox_full")
INBOX_WAKEUPS: Final = counter("sipherd:inbox_wakeups")
INTERNAL_MESSAGES: Final = counter("sipherd:internal_messages")  # from other roles

# sipherd: deciding
# ACK, CANCEL without a transaction, sent on after the hash check
STATELESS_REQUESTS: Final = counter("sipherd:stateless_requests")
STATELESS_RESPONSES: Final = counter("sipherd:stateless_responses")
RETRANSMISSIONS_ABSORBED: Final = counter("sipherd:retransmissions_absorbed")
# the worker holds as many as it may
TRANSACTIONS_REFUSED: Final = counter("sipherd:transactions_refused")
LOOPS_DETECTED: Final = counter("sipherd:loops_detected")
TOO_MANY_HOPS: Final = counter("sipherd:too_many_hops")
TIMER_C_FIRED: Final = counter("sipherd:timer_c_fired")
POLICY_ERRORS: Final = counter("sipherd:policy_errors")
LOOKUPS: Final = counter("sipherd:lookups")  # HTTP questions of policies
LOOKUP_FAILURES: Final = counter("sipherd:lookup_failures")  # of them, those without an answer
SQL_QUERIES: Final = counter("sipherd:sql_queries")  # SQL questions of policies
SQL_QUERY_FAILURES: Final = counter("sipherd:sql_query_failures")  # those without an answer
PENDINGS_REFUSED: Final = counter("sipherd:pendings_refused")  # too many questions open at a time
PENDINGS_LATE: Final = counter("sipherd:pendings_late")  # questions without an answer in time
DNS_QUERIES: Final = counter("sipherd:dns_queries")
DNS_FAILURES: Final = counter("sipherd:dns_failures")

# sipherd: authenticating
AUTH_ACCEPTED: Final = counter("sipherd:auth_accepted")
AUTH_CHALLENGES: Final = counter("sipherd:auth_challenges")  # 401 and 407
AUTH_WRONG: Final = counter("sipherd:auth_wrong")  # a wrong response, or no such user
AUTH_NOT_OWNER: Final = counter("sipherd:auth_not_owner")  # right, but for somebody else's address
AUTH_OTHER_URI: Final = counter("sipherd:auth_other_uri")  # signed for another Request-URI
AUTH_STALE: Final = counter("sipherd:auth_stale")  # genuine nonces that had expired
AUTH_REPLAYS: Final = counter("sipherd:auth_replays")  # a nonce and nc that were used before
AUTH_UNAVAILABLE: Final = counter("sipherd:auth_unavailable")  # 503: not cached, no database
AUTH_NO_HASH: Final = counter("sipherd:auth_no_hash")  # the user's row lacks the algorithm's column
AUTH_FETCHES: Final = counter("sipherd:auth_fetches")
AUTH_FETCH_FAILURES: Final = counter("sipherd:auth_fetch_failures")
AUTH_WAITS: Final = counter("sipherd:auth_waits")  # requests that waited for the database
NONCES_EVICTED: Final = counter("sipherd:nonces_evicted")  # used, alive, and pushed out

# sipherd: tables
TABLE_FULL: Final = counter("sipherd:table_full")
LOCK_TIMEOUTS: Final = counter("sipherd:lock_timeouts")
CORRUPT_RECORDS: Final = counter("sipherd:corrupt_records")  # read as absent
# tried again: another process was ahead
COMMIT_CONFLICTS: Final = counter("sipherd:commit_conflicts")
REPAIRS: Final = counter("sipherd:repairs")
SLOTS_SCAVENGED: Final = counter("sipherd:slots_scavenged")

# storage
STORAGE_ROWS_WRITTEN: Final = counter("storage:rows_written")
STORAGE_ROWS_DELETED: Final = counter("storage:rows_deleted")
STORAGE_TRANSACTIONS: Final = counter("storage:transactions")
STORAGE_FAILURES: Final = counter("storage:failures")  # transactions that came to nothing
STORAGE_ROWS_REFUSED: Final = counter("storage:rows_refused")  # by a database that is well
STORAGE_COMPARISONS: Final = counter("storage:comparisons")  # of a whole table with a database
STORAGE_QUESTIONS: Final = counter("storage:questions")
STORAGE_PARKED: Final = counter("storage:parked")
STORAGE_PARKED_LATE: Final = counter("storage:parked_late")  # answered 503: the database was late
STORAGE_PARKED_REFUSED: Final = counter("storage:parked_refused")  # too many of them

# sipherd: processes
RESTARTS: Final = counter("sipherd:restarts")
RELOADS: Final = counter("sipherd:reloads")
RELOADS_REFUSED: Final = counter("sipherd:reloads_refused")
REFUSED_STOPPING: Final = counter("sipherd:refused_stopping")  # 503 before the end
SLOW_TURNS: Final = counter("sipherd:slow_turns")  # of a worker, so long that it was traced
HANGS: Final = counter("sipherd:hangs")
LOG_LINES_DROPPED: Final = counter("sipherd:log_lines_dropped")
# of a worker's loop: datagrams per turn say how batched it runs
TURNS: Final = counter("sipherd:turns")
# an exception nobody expected; its traceback is in the log
INTERNAL_ERRORS: Final = counter("sipherd:internal_errors")

# sipherd: limits
PIPE_REFUSALS: Final = counter("sipherd:pipe_refusals")
PIPES_FULL: Final = counter("sipherd:pipes_full")  # refused: no room for one more pipe
FLOOD_STOPPED: Final = counter("sipherd:flood_stopped")  # datagrams of banned sources
FLOOD_BANS: Final = counter("sipherd:flood_bans")
FLOOD_DISPLACED: Final = counter("sipherd:flood_displaced")  # sources forgotten while they counted

# sipherd: overload. New work that was turned away, by what it was
SHED_OPTIONS: Final = counter("sipherd:shed_options")
SHED_REGISTERS: Final = counter("sipherd:shed_registers")  # of phones that are not registered
SHED_INVITES: Final = counter("sipherd:shed_invites")
SHED_OTHERS: Final = counter("sipherd:shed_others")
SHED_REFRESHES: Final = counter("sipherd:shed_refreshes")
SHED_LATE: Final = counter("sipherd:shed_late")  # of any kind: it had waited for too long
SHED_UNREAD: Final = counter("sipherd:shed_unread")  # dropped for us by the kernel
SHED_ANSWERED: Final = counter("sipherd:shed_answered")  # of all these, those that got 503
OVERLOADS: Final = counter("sipherd:overloads")  # times a worker began to turn work away

# dialog
PROCESSED_DIALOGS: Final = counter("dialog:processed_dialogs")
EXPIRED_DIALOGS: Final = counter("dialog:expired_dialogs")
FAILED_DIALOGS: Final = counter("dialog:failed_dialogs")  # never answered

# sipherd: dialogs
DIALOGS_UNTRACKED: Final = counter("sipherd:dialogs_untracked")  # calls that went on without
# a change of a dialog's record for which there was no room
DIALOG_COMMITS_REFUSED: Final = counter("sipherd:dialog_commits_refused")
PROFILES_FULL: Final = counter("sipherd:profiles_full")  # no room for one more member
PROFILE_REFUSALS: Final = counter("sipherd:profile_refusals")  # as many members as there may be
PROFILE_MEMBERS_SWEPT: Final = counter("sipherd:profile_members_swept")
DIALOG_BYES: Final = counter("sipherd:dialog_byes")  # of our own
DIALOG_PINGS: Final = counter("sipherd:dialog_pings")
# ended ones that were forgotten before every node knew, to make room for calls
DIALOGS_FORGOTTEN: Final = counter("sipherd:dialogs_forgotten")
CDR_WRITTEN: Final = counter("sipherd:cdr_written")
# the file could not be written: the dialogs wait
CDR_FAILURES: Final = counter("sipherd:cdr_failures")

# sipherd: other nodes
CLUSTER_FRAMES_SENT: Final = counter("sipherd:cluster_frames_sent")
CLUSTER_BYTES_SENT: Final = counter("sipherd:cluster_bytes_sent")
CLUSTER_FRAMES_RECEIVED: Final = counter("sipherd:cluster_frames_received")
CLUSTER_BYTES_RECEIVED: Final = counter("sipherd:cluster_bytes_received")
CLUSTER_FRAMES_DROPPED: Final = counter("sipherd:cluster_frames_dropped")  # the peer takes no more
CLUSTER_BEATS_DROPPED: Final = counter("sipherd:cluster_beats_dropped")
CLUSTER_FRAMES_RELAYED: Final = counter("sipherd:cluster_frames_relayed")
CLUSTER_RECORDS_SENT: Final = counter("sipherd:cluster_records_sent")  # each once for all peers
CLUSTER_RECORDS_APPLIED: Final = counter("sipherd:cluster_records_applied")
CLUSTER_RECORDS_REFUSED: Final = counter("sipherd:cluster_records_refused")  # the table was full
CLUSTER_RECORDS_REPAIRED: Final = counter("sipherd:cluster_records_repaired")  # by comparing
CLUSTER_RESENDS: Final = counter("sipherd:cluster_resends")
CLUSTER_GAPS: Final = counter("sipherd:cluster_gaps")  # batches that came with one missing before
CLUSTER_OVERRUNS: Final = counter("sipherd:cluster_overruns")  # of the change ring
CLUSTER_SNAPSHOTS: Final = counter("sipherd:cluster_snapshots")  # that came whole
CLUSTER_SNAPSHOTS_FAILED: Final = counter("sipherd:cluster_snapshots_failed")
CLUSTER_CLOCK_LEADS: Final = counter("sipherd:cluster_clock_leads")  # frames of a clock far ahead
REMOVALS_FORGOTTEN: Final = counter("sipherd:removals_forgotten")  # while a node may lack them
CLUSTER_HELLOS_REFUSED: Final = counter("sipherd:cluster_hellos_refused")  # other tables or secret
# hostile, or of another program
CLUSTER_BAD_FRAMES: Final = counter("sipherd:cluster_bad_frames")
CLUSTER_STALE_FRAMES: Final = counter("sipherd:cluster_stale_frames")  # of an earlier incarnation
CLUSTER_UNKNOWN_FRAMES: Final = counter("sipherd:cluster_unknown_frames")  # of a kind nobody knows
CLUSTER_COUNTS_REFUSED: Final = counter("sipherd:cluster_counts_refused")  # no room for them
CLUSTER_IMPOSTORS: Final = counter("sipherd:cluster_impostors")  # in another node's name
CLUSTER_CONNECTIONS_REFUSED: Final = counter("sipherd:cluster_connections_refused")

UPGRADES: Final = counter("sipherd:upgrades")
UPGRADES_REFUSED: Final = counter("sipherd:upgrades_refused")  # by a trial: nothing has changed
UPGRADES_FAILED: Final = counter("sipherd:upgrades_failed")  # and were undone

NAMES: Final = tuple(_names)
COUNT: Final = len(NAMES)
COLUMNS: Final = (COUNT + 127) // 64 * 64  # with room for what the next versions count
GAUGES: Final = frozenset({TM_INUSE_TRANSACTIONS})  # set to 0 in the row of a process that died
SL_CLASS_REPLIES: Final = SL_1XX_REPLIES - 1  # + first digit of the status
TM_CLASS_TRANSACTIONS: Final = TM_2XX_TRANSACTIONS - 2  # + first digit of the status (2..6)
