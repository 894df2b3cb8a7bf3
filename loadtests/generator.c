/* A SIP load generator for one measured question: what does one operation cost the server?
 *
 *   cc -O2 -Wall -Wextra -Werror -o generator generator.c
 *   generator options  -t 127.0.0.1:5060 -d 5 -w 128 -p PID     OPTIONS answered by the server
 *   generator fill     -t ... -u 100000                         each user registers once
 *   generator refresh  -t ... -u 10000 -d 5                     fill, then the same bindings again
 *   generator call     -t ... -u 1000 -d 5 -w 64                fill, then INVITE 100 180 200 ACK
 *                                                               BYE 200 between two sockets
 *   generator mix      -t ... -u 1000 -d 60 -r 20000 -c 5 -H 2  fill, then one call in five operations,
 *                                                               hung up after two seconds, and refreshes
 *
 * Closed loop (-w N): N operations are in flight all the time. Open loop (-r N): N operations start
 * per second whatever the server does, and latency counts from the moment an operation was due,
 * so that a server that stalls cannot hide it.
 * Unanswered requests are sent again after 0.5, 1, 2, 4 s and given up after 8 s; new ones of a mix after 3 s.
 * -p PID: processor time (user + system) of PID and all its descendants is read at both ends of the
 *         measured part. Filling is not part of it.
 * -a PASSWORD: telephones answer challenges (SHA-256, qop auth), each reuses its nonce with the next nc.
 * -A RATE: ten more seconds at this rate; `calm_after_s` is when in them nobody was refused any more.
 * -c N: in a mix every N-th operation is a call.  -H SECONDS: how long a call lasts.
 * -i: telephones name a +sip.instance.  -f: first local port (two are used).  -D: domain.
 * Prints one JSON object. Exit status 0: every operation succeeded.
 */
#include "sip_load.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/resource.h>

enum { OPERATIONS = 131072, GIVE_UP_MS = 8000, IMPATIENT_MS = 3000, FIRST_RETRY_MS = 500 };
enum mode { OPTIONS_MODE, FILL_MODE, REFRESH_MODE, CALL_MODE, MIX_MODE };
enum state { FREE, ASKED, TALKING, HANGING_UP };
static const char *mode_names[] = {"options", "fill", "refresh", "call", "mix"};
enum { MODES = sizeof mode_names / sizeof *mode_names };

static struct {
    enum mode mode;
    struct sockaddr_in server;
    const char *domain, *password;
    int users, window, first_port, root_pid, with_instance, call_every;
    double seconds, rate, hold, rate_after;
} want = {.domain = "example.com", .users = 1000, .window = 128, .first_port = 23000, .seconds = 5, .call_every = 5};

/* ---- processor time of a process tree ---- */

struct process { int pid, parent; double cpu; };

static int read_process(const char *name, struct process *p) {
    char path[300], text[1024];
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *after = strrchr(text, ')');
    unsigned long user, system;
    if (!after || sscanf(after + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                         &p->parent, &user, &system) != 3) return 0;
    p->pid = atoi(name);
    p->cpu = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return 1;
}

static double tree_cpu(int root) {
    static struct process all[32768];
    static char member[32768];
    int n = 0;
    if (!root) return 0;
    DIR *d = opendir("/proc");
    if (!d) fail("/proc");
    for (struct dirent *e; (e = readdir(d)) && n < 32768;)
        if (isdigit((unsigned char)e->d_name[0]) && read_process(e->d_name, &all[n])) n++;
    closedir(d);
    memset(member, 0, (size_t)n);
    double cpu = 0;
    for (int grown = 1; grown;) {
        grown = 0;
        for (int i = 0; i < n; i++) {
            int take = all[i].pid == root;
            for (int k = 0; k < n && !take; k++) take = member[k] && all[k].pid == all[i].parent;
            if (take && !member[i]) { member[i] = 1; grown = 1; cpu += all[i].cpu; }
        }
    }
    return cpu;
}

static struct channel caller, callee;

/* ---- operations ---- */

struct operation {
    enum state state;
    uint32_t serial;
    int user, challenged, is_call, again;
    double due, sent, patience, hung_up;
    char to_tag[128], target[256], routes[1024];
};
static struct operation operations[OPERATIONS];
static int free_list[OPERATIONS], free_count, highest; /* slot that was ever taken */
static uint32_t run_id, serial, first_cseq;
static char prefix = 'u'; /* telephones u0, u1 ...; those that are called b0, b1 ... */
static struct { long done, challenged, resent, gave_up, refused, skipped, errors[700]; } tally;
static struct histogram whole, setup, refreshes, byes;
static struct { long calls, refreshes, byes, byes_answered, calls_refused, refreshes_refused, admitted_late; } mix;
static double worst_lag; /* of the generator itself, behind its own clock */
static double over_at, calm_after; /* when the load ended, and how long after it somebody was refused */
enum { AFTER = 10 }; /* seconds of -A */

static const char SDP[] =
    "v=0\r\no=- 4711 4711 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

static int write_via(char *b, int slot, char kind) {
    return sprintf(b, "Via: SIP/2.0/UDP %s;branch=z9hG4bK%x.%x.%x.%c;rport\r\nMax-Forwards: 70\r\n",
                   caller.name, run_id, slot, operations[slot].serial, kind);
}

static int write_options(char *b, int slot) {
    struct operation *o = &operations[slot];
    int n = sprintf(b, "OPTIONS sip:%s SIP/2.0\r\n", want.domain);
    n += write_via(b + n, slot, 'o');
    return n + sprintf(b + n, "From: <sip:monitor@%s>;tag=o%x\r\nTo: <sip:monitor@%s>\r\n"
                       "Call-ID: o%x-%x@%s\r\nCSeq: 1 OPTIONS\r\nUser-Agent: generator\r\n"
                       "Content-Length: 0\r\n\r\n", want.domain, o->serial, want.domain, run_id,
                       o->serial, caller.name);
}

static struct credentials *credentials;
static char *registering; /* by user: its REGISTER of a refresh run is not answered yet */

static const char *name_of(int user) {
    static char name[16];
    snprintf(name, sizeof name, "%c%d", prefix, user);
    return name;
}

static int write_register(char *b, int slot) {
    struct operation *o = &operations[slot];
    const char *contact = want.mode == CALL_MODE || want.mode == MIX_MODE ? callee.name : caller.name;
    int n = sprintf(b, "REGISTER sip:%s SIP/2.0\r\n", want.domain);
    n += write_via(b + n, slot, 'r');
    n += sprintf(b + n, "From: \"Phone %d\" <sip:%c%d@%s>;tag=r%x\r\nTo: \"Phone %d\" <sip:%c%d@%s>\r\n"
                 "Call-ID: r%x-%d@%s\r\nCSeq: %u REGISTER\r\nContact: <sip:%c%d@%s;transport=udp>",
                 o->user, prefix, o->user, want.domain, o->serial, o->user, prefix, o->user, want.domain, run_id,
                 o->user, caller.name, first_cseq + o->serial, prefix, o->user, contact);
    if (want.with_instance)
        n += sprintf(b + n, ";+sip.instance=\"<urn:uuid:5a0bd0e6-11a5-4b2c-8c55-%012x>\"", o->user);
    n += sprintf(b + n, ";expires=3600\r\n");
    if (want.password)
        n += write_authorization(b + n, &credentials[o->user], name_of(o->user), want.domain, run_id);
    return n + sprintf(b + n, "User-Agent: generator\r\n"
                       "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY\r\nContent-Length: 0\r\n\r\n");
}

static int write_invite(char *b, int slot) {
    struct operation *o = &operations[slot];
    int n = sprintf(b, "INVITE sip:%c%d@%s SIP/2.0\r\n", prefix, o->user, want.domain);
    n += write_via(b + n, slot, 'i');
    return n + sprintf(b + n, "From: \"Caller\" <sip:caller@%s>;tag=c%x\r\nTo: <sip:%c%d@%s>\r\n"
                       "Call-ID: c%x-%x@%s\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@%s>\r\n"
                       "User-Agent: generator\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n"
                       "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
                       want.domain, o->serial, prefix, o->user, want.domain, run_id, o->serial,
                       caller.name, caller.name, (int)sizeof SDP - 1, SDP);
}

static int write_in_dialog(char *b, int slot, const char *method, int cseq) {
    struct operation *o = &operations[slot];
    int n = sprintf(b, "%s %s SIP/2.0\r\n", method, o->target);
    n += write_via(b + n, slot, (char)tolower((unsigned char)method[0]));
    return n + sprintf(b + n, "%sFrom: \"Caller\" <sip:caller@%s>;tag=c%x\r\nTo: <sip:%c%d@%s>%s\r\n"
                       "Call-ID: c%x-%x@%s\r\nCSeq: %d %s\r\nUser-Agent: generator\r\n"
                       "Content-Length: 0\r\n\r\n", o->routes, want.domain, o->serial, prefix, o->user,
                       want.domain, o->to_tag, run_id, o->serial, caller.name, cseq, method);
}

static int write_answer(char *b, const char *request, const char *status, int with_sdp) {
    int n = sprintf(b, "SIP/2.0 %s\r\n", status);
    n += copy_headers(b + n, request, "Via");
    n += copy_headers(b + n, request, "Record-Route");
    n += copy_headers(b + n, request, "From");
    struct text to = header(request, "To");
    int tagged = to.at && memmem(to.at, (size_t)to.length, ";tag=", 5);
    n += sprintf(b + n, "To: %.*s%s\r\n", to.length, to.at ? to.at : "", tagged ? "" : ";tag=callee");
    n += copy_headers(b + n, request, "Call-ID");
    n += copy_headers(b + n, request, "CSeq");
    n += sprintf(b + n, "Contact: <sip:callee@%s>\r\n", callee.name);
    if (with_sdp) n += sprintf(b + n, "Content-Type: application/sdp\r\n");
    return n + sprintf(b + n, "Content-Length: %d\r\n\r\n%s", with_sdp ? (int)sizeof SDP - 1 : 0,
                       with_sdp ? SDP : "");
}

static int filling = 0;

static void ask(int slot) {
    char *b = next_buffer(&caller);
    int n;
    if (operations[slot].state == HANGING_UP) n = write_in_dialog(b, slot, "BYE", 2);
    else if (operations[slot].is_call) n = write_invite(b, slot);
    else n = filling || want.mode != OPTIONS_MODE ? write_register(b, slot) : write_options(b, slot);
    queue(&caller, n, &want.server);
}

static void start(double due, int user) {
    if (user < 0 || !free_count) { tally.skipped++; return; }
    int slot = free_list[--free_count];
    if (slot > highest) highest = slot;
    operations[slot] = (struct operation){.state = ASKED, .serial = ++serial, .user = user, .due = due,
                                          .sent = now(), .patience = FIRST_RETRY_MS * 1e-3};
    if (!filling && want.mode != REFRESH_MODE && want.mode != OPTIONS_MODE)
        operations[slot].is_call = want.mode == CALL_MODE || serial % (uint32_t)want.call_every == 0;
    registering[user] = want.mode == REFRESH_MODE;
    ask(slot);
}

/* The next in turn that awaits no answer of its last REGISTER (RFC 3261 10.2); -1: all do. */
static int next_user(long *started) {
    for (int passed = 0; passed < want.users; passed++) {
        int user = (int)((*started)++ % want.users);
        if (!registering[user]) return user;
    }
    return -1;
}

static void finish(int slot) {
    registering[operations[slot].user] = 0;
    operations[slot].state = FREE;
    free_list[free_count++] = slot;
}

/* Which operation a response belongs to, by the branch that we chose; -1 if to none any more. */
static int slot_of(const char *message, char *kind) {
    struct text via = header(message, "Via");
    const char *branch = via.at ? strstr(via.at, "branch=z9hG4bK") : NULL;
    unsigned run, slot, number;
    if (!branch || sscanf(branch + 14, "%x.%x.%x.%c", &run, &slot, &number, kind) != 4) return -1;
    if (run != run_id || slot >= OPERATIONS || operations[slot].serial != number) return -1;
    return operations[slot].state == FREE ? -1 : (int)slot;
}

/* Route set of the caller: Record-Route values in reverse order (RFC 3261 12.1.2). */
static void take_routes(struct operation *o, const char *answer) {
    struct text values[8];
    int count = 0, n = 0;
    for (struct text line = header(answer, "Record-Route"); line.at; line = header(line.at, "Record-Route")) {
        const char *at = line.at, *end = line.at + line.length;
        while (at < end && count < 8) {
            const char *close = memchr(at, '>', (size_t)(end - at));
            const char *comma = close ? memchr(close, ',', (size_t)(end - close)) : NULL;
            values[count++] = (struct text){at, (int)((comma ? comma : end) - at)};
            for (at = comma ? comma + 1 : end; at < end && *at == ' ';) at++;
        }
    }
    o->routes[0] = 0;
    while (count--)
        n += snprintf(o->routes + n, sizeof o->routes - (size_t)n, "Route: %.*s\r\n",
                      values[count].length < 200 ? values[count].length : 200, values[count].at);
}

static int take_dialog(struct operation *o, const char *answer) {
    struct text contact = header(answer, "Contact"), to = header(answer, "To");
    const char *open = contact.at ? memchr(contact.at, '<', (size_t)contact.length) : NULL;
    const char *close = open ? strchr(open, '>') : NULL;
    const char *tag = to.at ? memmem(to.at, (size_t)to.length, ";tag=", 5) : NULL;
    if (!close || !tag) return 0;
    snprintf(o->target, sizeof o->target, "%.*s", (int)(close - open - 1), open + 1);
    snprintf(o->to_tag, sizeof o->to_tag, "%.*s", (int)(to.at + to.length - tag), tag);
    take_routes(o, answer);
    return 1;
}

static void hang_up(int slot, double t) {
    struct operation *o = &operations[slot];
    o->state = HANGING_UP;
    o->sent = o->hung_up = t;
    o->patience = FIRST_RETRY_MS * 1e-3;
    mix.byes++;
    ask(slot);
}

/* A failure is acknowledged hop by hop, with the branch of the INVITE. */
static void acknowledge_failure(int slot, const char *answer) {
    struct operation *o = &operations[slot];
    struct text to = header(answer, "To");
    char *b = next_buffer(&caller);
    int n = sprintf(b, "ACK sip:%c%d@%s SIP/2.0\r\n", prefix, o->user, want.domain);
    n += write_via(b + n, slot, 'i');
    n += sprintf(b + n, "From: \"Caller\" <sip:caller@%s>;tag=c%x\r\nTo: %.*s\r\nCall-ID: c%x-%x@%s\r\n"
                 "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n", want.domain, o->serial, to.length,
                 to.at ? to.at : "", run_id, o->serial, caller.name);
    queue(&caller, n, &want.server);
}

/* The 200 of an INVITE: ACK it each time it comes, hang up the first time. */
static void answered(int slot, const char *answer, double t) {
    struct operation *o = &operations[slot];
    int first = o->state == ASKED;
    if (first && !take_dialog(o, answer)) { tally.refused++; finish(slot); return; }
    char *b = next_buffer(&caller);
    queue(&caller, write_in_dialog(b, slot, "ACK", 1), &want.server);
    if (!first) return;
    record(&setup, t - o->due);
    o->sent = t;
    o->patience = want.hold;
    o->state = TALKING;
    if (want.hold <= 0) hang_up(slot, t);
}

static void handle_caller(const char *message, double t) {
    char kind = 0;
    int status = status_of(message), slot = slot_of(message, &kind);
    if (slot < 0 || status < 200) return;
    struct operation *o = &operations[slot];
    if (status == 401 && want.password && !o->challenged &&
        take_challenge(&credentials[o->user], name_of(o->user), want.password, message)) {
        *o = (struct operation){.state = ASKED, .serial = ++serial, .user = o->user, .due = o->due, .sent = t,
                                .patience = FIRST_RETRY_MS * 1e-3, .challenged = 1};
        tally.challenged++;
        ask(slot);
    } else if (status >= 300) {
        tally.refused++;
        tally.errors[status < 700 ? status : 0]++;
        if (over_at > 0 && o->due > over_at) calm_after = o->due - over_at;
        if (kind == 'i') acknowledge_failure(slot, message);
        if (o->state == ASKED) *(o->is_call ? &mix.calls_refused : &mix.refreshes_refused) += 1;
        finish(slot);
    } else if (kind == 'i') {
        answered(slot, message, t);
    } else if (o->state == ASKED || kind == 'b') {
        tally.done++;
        record(&whole, t - o->due);
        if (kind == 'b') {
            mix.byes_answered++;
            record(&byes, t - o->hung_up);
        } else {
            mix.refreshes++;
            record(&refreshes, t - o->due);
        }
        if (o->is_call) mix.calls++;
        if (o->again) mix.admitted_late++;
        finish(slot);
    }
}

static void handle_callee(const char *message, const struct sockaddr_in *from) {
    if (!strncmp(message, "INVITE ", 7)) {
        queue(&callee, write_answer(next_buffer(&callee), message, "180 Ringing", 0), from);
        queue(&callee, write_answer(next_buffer(&callee), message, "200 OK", 1), from);
    } else if (!strncmp(message, "BYE ", 4)) {
        queue(&callee, write_answer(next_buffer(&callee), message, "200 OK", 0), from);
    }
}

static void retry(double t) {
    /* In a mix the unanswered are many, each keeps its place, and a call that has begun must end. */
    double patience = want.mode == MIX_MODE && !filling ? IMPATIENT_MS * 1e-3 : GIVE_UP_MS * 1e-3;
    for (int slot = 0; slot <= highest; slot++) {
        struct operation *o = &operations[slot];
        if (o->state == FREE || t < o->sent + o->patience) continue;
        if (o->state == TALKING) { hang_up(slot, t); continue; }
        if (t > (o->state == HANGING_UP ? o->hung_up + GIVE_UP_MS * 1e-3 : o->due + patience)) { tally.gave_up++; finish(slot); continue; }
        o->sent = t;
        o->patience *= 2;
        tally.resent++;
        o->again += o->state == ASKED;
        if (over_at > 0 && o->due > over_at) calm_after = o->due - over_at;
        ask(slot);
    }
}

/* ---- the loop ---- */

static int in_flight(void) { return OPERATIONS - free_count; }

static void turn(double wait, double *last_retry) {
    struct pollfd sockets[2] = {{caller.fd, POLLIN, 0}, {callee.fd, POLLIN, 0}};
    long ns = wait < 0 ? 0 : (long)(wait * 1e9);
    flush(&caller);
    ppoll(sockets, 2, &(struct timespec){0, ns > 5000000 ? 5000000 : ns}, NULL);
    int n = receive(&callee);
    for (int i = 0; i < n; i++) handle_callee(callee.in[i], &callee.from[i]);
    flush(&callee);
    n = receive(&caller);
    double t = now();
    for (int i = 0; i < n; i++) handle_caller(caller.in[i], t);
    if (t > *last_retry + 0.05) { *last_retry = t; retry(t); }
}

/* Register every user once. */
static void fill(void) {
    double last_retry = now(), deadline = now() + 120;
    filling = 1;
    for (int next = 0; (next < want.users || in_flight()) && now() < deadline;) {
        while (next < want.users && in_flight() < want.window) start(now(), next++);
        turn(0.005, &last_retry);
    }
    filling = 0;
}

static void measure(void) {
    double began = now(), end = began + want.seconds, last_retry = began;
    long started = 0, paced = 0;
    double rate = want.rate, base = began, stop = want.rate_after > 0 ? end + AFTER : end;
    for (double t = began; t < stop || in_flight(); t = now()) {
        double wait = 0.005;
        if (t > stop + want.hold + GIVE_UP_MS * 1e-3 + 2) break;
        if (t >= end && !over_at) {
            over_at = base = end;
            rate = want.rate_after;
            paced = 0;
        }
        if (t < stop && rate > 0) {
            double due;
            while ((due = base + (double)paced / rate) <= t) {
                if (t - due > worst_lag) worst_lag = t - due;
                start(due, next_user(&started));
                paced++;
            }
            wait = due - t;
        } else if (t < end) {
            for (int user; in_flight() < want.window && (user = next_user(&started)) >= 0;) start(t, user);
        }
        turn(wait, &last_retry);
    }
}

static void report(double elapsed, double server_cpu, double own_cpu) {
    printf("{\"mode\": \"%s\", \"done\": %ld, \"seconds\": %.3f, \"per_second\": %.1f, "
           "\"server_cpu_us\": %.3f, \"server_cpu_share\": %.3f, \"generator_cpu_share\": %.3f, ",
           mode_names[want.mode], tally.done, elapsed, (double)tally.done / elapsed,
           tally.done ? server_cpu * 1e6 / (double)tally.done : 0.0, server_cpu / elapsed,
           own_cpu / elapsed);
    const struct histogram *h = &whole;
    printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, ",
           quantile_ms(h, .5), quantile_ms(h, .99), quantile_ms(h, .999), h->worst * 1e3);
    if (want.mode == CALL_MODE)
        printf("\"setup_p50_ms\": %.3f, \"setup_p99_ms\": %.3f, ", quantile_ms(&setup, .5),
               quantile_ms(&setup, .99));
    if (want.mode == MIX_MODE)
        printf("\"setup_p50_ms\": %.3f, \"setup_p99_ms\": %.3f, \"refresh_p50_ms\": %.3f, \"refresh_p99_ms\": %.3f, "
               "\"bye_p50_ms\": %.3f, \"bye_p99_ms\": %.3f, \"calls\": %ld, \"refreshes\": %ld, \"byes\": %ld, "
               "\"byes_answered\": %ld, \"calls_refused\": %ld, \"refreshes_refused\": %ld, "
               "\"admitted_late\": %ld, \"generator_lag_ms\": %.1f, \"calm_after_s\": %.2f, ",
               quantile_ms(&setup, .5), quantile_ms(&setup, .99), quantile_ms(&refreshes, .5),
               quantile_ms(&refreshes, .99), quantile_ms(&byes, .5), quantile_ms(&byes, .99), mix.calls,
               mix.refreshes, mix.byes, mix.byes_answered, mix.calls_refused, mix.refreshes_refused,
               mix.admitted_late, worst_lag * 1e3, calm_after);
    printf("\"challenged\": %ld, ", tally.challenged);
    printf("\"resent\": %ld, \"gave_up\": %ld, \"refused\": %ld, \"skipped\": %ld, \"statuses\": {",
           tally.resent, tally.gave_up, tally.refused, tally.skipped);
    const char *comma = "";
    for (int i = 0; i < 700; i++)
        if (tally.errors[i]) { printf("%s\"%d\": %ld", comma, i, tally.errors[i]); comma = ", "; }
    printf("}}\n");
}

static void read_options(int argc, char **argv) {
    int found = -1, option;
    for (int i = 0; i < MODES && argc > 1; i++) if (!strcmp(argv[1], mode_names[i])) found = i;
    if (found < 0) fail("say options, fill, refresh, call or mix first (see the head of generator.c)");
    want.mode = (enum mode)found;
    prefix = want.mode == CALL_MODE || want.mode == MIX_MODE ? 'b' : 'u';
    want.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(5060)};
    want.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    optind = 2;
    while ((option = getopt(argc, argv, "t:u:d:w:r:p:f:D:a:ic:H:A:")) > 0) switch (option) {
        case 't': want.server = server_at(optarg); break;
        case 'u': want.users = atoi(optarg); break;
        case 'd': want.seconds = atof(optarg); break;
        case 'w': want.window = atoi(optarg); break;
        case 'r': want.rate = atof(optarg); break;
        case 'p': want.root_pid = atoi(optarg); break;
        case 'f': want.first_port = atoi(optarg); break;
        case 'D': want.domain = optarg; break;
        case 'a': want.password = optarg; break;
        case 'i': want.with_instance = 1; break;
        case 'c': want.call_every = atoi(optarg) > 0 ? atoi(optarg) : 1; break;
        case 'A': want.rate_after = atof(optarg); break;
        case 'H': want.hold = atof(optarg); break;
        default: exit(2);
    }
    if (want.mode == REFRESH_MODE && want.rate <= 0 && want.users < want.window)
        fail("refresh: -w of more than -u telephones");
    if (want.users < 1 || want.window < 1 || want.window > OPERATIONS) fail("-u or -w out of range");
}

static double own_cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv) {
    struct timespec wall;
    errno = 0;
    read_options(argc, argv);
    clock_gettime(CLOCK_REALTIME, &wall);
    run_id = (uint32_t)(wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    first_cseq = (uint32_t)(wall.tv_sec & 0x3fffffff);
    credentials = calloc((size_t)want.users, sizeof *credentials);
    registering = calloc((size_t)want.users, 1);
    if (!credentials || !registering) fail("too many users");
    open_channel(&caller, "127.0.0.1", want.first_port);
    open_channel(&callee, "127.0.0.1", want.first_port + 1);
    for (int i = OPERATIONS; i--;) free_list[free_count++] = i;
    double before = tree_cpu(want.root_pid), own_before = own_cpu(), began = now();
    if (want.mode != OPTIONS_MODE) fill();
    if (want.mode != FILL_MODE) {
        if (tally.gave_up || tally.refused) { /* nothing measured after it would mean anything */
            fprintf(stderr, "filling failed: %ld gave up, %ld refused:", tally.gave_up, tally.refused);
            for (int status = 0; status < 700; status++)
                if (tally.errors[status]) fprintf(stderr, " %ld x %d", tally.errors[status], status);
            fprintf(stderr, "\n");
            return 2;
        }
        memset(&tally, 0, sizeof tally);
        memset(&whole, 0, sizeof whole);
        memset(&refreshes, 0, sizeof refreshes);
        memset(&mix, 0, sizeof mix);
        usleep(300000); /* let what the filling left behind settle */
        before = tree_cpu(want.root_pid), own_before = own_cpu(), began = now();
        measure();
    }
    double elapsed = now() - began;
    report(elapsed, tree_cpu(want.root_pid) - before, own_cpu() - own_before);
    return tally.gave_up || tally.refused || tally.skipped;
}
