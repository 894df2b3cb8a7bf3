/* Telephones that all come to life within some seconds, as after a power cut, and want to register.
 *
 *   cc -O2 -Wall -Wextra -Werror -o avalanche avalanche.c
 *   avalanche -t 127.0.0.1:5060 -u 100000 -s 30 -d 90 -a PASSWORD [-l course.json]
 *
 * -u telephones, the first at once, the last -s seconds later; all must be registered -d seconds
 * after the beginning. Each keeps to the book:
 *   RFC 3261 17.1.2.2  a request is repeated after T1 = 0.5 s, then 1, 2, 4, 4 ... s, for 32 s;
 *   RFC 5626 4.5       then the telephone pauses, 30 s at most the first time, and begins anew;
 *   RFC 3261 20.33     503 with Retry-After: it pauses for as long as it was told, without: as above;
 *   RFC 8760           401: it answers with SHA-256, at once, by a new request.
 * -n: sockets that they share, on 127.0.1.1, 127.0.1.2 ...; -f: their port.  -D: domain.
 * -l FILE: the course of it, a JSON object for each second.
 * Prints one JSON object. Exit status 0: all are registered in time.
 */
#include "sip_load.h"

#include <sys/epoll.h>

enum { LINES = 200, TICKS = 16384, TICK_MS = 10, NOBODY = -1, CHALLENGES = 4 };
static const double T1 = 0.5, T2 = 4.0, TIMER_F = 32.0, LONGEST_PAUSE = 1800.0, FIRST_PAUSE = 30.0;

enum state { OFF, ASKED, PAUSING, REGISTERED, REFUSED };

static struct {
    struct sockaddr_in server;
    const char *domain, *password, *course;
    int phones, lines, port;
    double spread, seconds;
} want = {.domain = "example.com", .phones = 100000, .lines = 64, .port = 23000, .spread = 30, .seconds = 90};

struct phone {
    enum state state;
    int before, after, tick; /* in the list of its tick of the wheel */
    uint32_t serial;
    int pauses, challenges;
    double on, due, interval, deadline;
    struct credentials credentials;
};
static struct phone *phones;
static struct channel *lines;
static int wheel[TICKS];
static uint32_t run_id, first_cseq;
static double began;
static FILE *course;

/* What a second saw, and what the whole run did. */
struct tally { long on, registered, challenged, resent, told_to_wait, timed_out, refused, answers; };
static struct tally second, total;
static struct histogram latency, all_latencies;
static long statuses[700];

#define COUNT(what) (second.what++, total.what++)

/* ---- the wheel: each telephone that waits for something is in one list ---- */

static int tick_of(double t) { return (int)((t - began) * 1000 / TICK_MS); }

static void forget(int number) {
    struct phone *p = &phones[number];
    if (p->tick == NOBODY) return;
    if (p->before == NOBODY) wheel[p->tick % TICKS] = p->after;
    else phones[p->before].after = p->after;
    if (p->after != NOBODY) phones[p->after].before = p->before;
    p->tick = NOBODY;
}

static void wake_at(int number, double due, int current) {
    struct phone *p = &phones[number];
    forget(number);
    p->due = due;
    p->tick = tick_of(due);
    if (p->tick <= current) p->tick = current + 1;
    if (p->tick > current + TICKS - 1) p->tick = current + TICKS - 1; /* looks again then */
    p->before = NOBODY;
    p->after = wheel[p->tick % TICKS];
    if (p->after != NOBODY) phones[p->after].before = number;
    wheel[p->tick % TICKS] = number;
}

/* ---- one telephone ---- */

static struct channel *line_of(int number) { return &lines[number % want.lines]; }

static double chance(void) { return (double)random() / ((double)RAND_MAX + 1); }

static void name_of(int number, char *name) { sprintf(name, "u%d", number); }

static void send_register(int number) {
    struct phone *p = &phones[number];
    struct channel *line = line_of(number);
    char *b = next_buffer(line), name[16];
    name_of(number, name);
    int n = sprintf(b, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%x.%x.%x;rport\r\n"
                    "Max-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=a%x\r\nTo: <sip:%s@%s>\r\n"
                    "Call-ID: a%x-%d@%s\r\nCSeq: %u REGISTER\r\nContact: <sip:%s@%s;transport=udp>;expires=3600\r\n",
                    want.domain, line->name, run_id, number, p->serial, name, want.domain, p->serial, name,
                    want.domain, run_id, number, line->name, first_cseq + p->serial, name, line->name);
    if (want.password) n += write_authorization(b + n, &p->credentials, name, want.domain, run_id);
    n += sprintf(b + n, "User-Agent: avalanche\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY\r\n"
                 "Content-Length: 0\r\n\r\n");
    queue(line, n, &want.server);
}

/* A new request: timers E and F from the beginning. */
static void ask(int number, double t, int current) {
    struct phone *p = &phones[number];
    p->state = ASKED;
    p->serial++;
    p->interval = T1;
    p->deadline = t + TIMER_F;
    send_register(number);
    wake_at(number, t + p->interval, current);
}

/* Between half and all of the time that doubles with each pause (RFC 5626 4.5). */
static void pause_long(int number, double t, int current) {
    struct phone *p = &phones[number];
    double most = FIRST_PAUSE * (double)(1L << (p->pauses < 8 ? p->pauses : 8));
    if (most > LONGEST_PAUSE) most = LONGEST_PAUSE;
    p->pauses++;
    p->state = PAUSING;
    wake_at(number, t + most * (0.5 + 0.5 * chance()), current);
}

static void pause_told(int number, const char *answer, double t, int current) {
    struct text told = header(answer, "Retry-After");
    COUNT(told_to_wait);
    if (!told.at) { pause_long(number, t, current); return; }
    phones[number].state = PAUSING;
    wake_at(number, t + atof(told.at), current);
}

/* What a telephone does when its time has come. */
static void wake(int number, double t, int current) {
    struct phone *p = &phones[number];
    if (p->state == OFF) {
        COUNT(on);
        p->on = p->due;
        ask(number, t, current);
    } else if (p->state == PAUSING) {
        p->challenges = 0;
        ask(number, t, current);
    } else if (t >= p->deadline) {
        COUNT(timed_out);
        pause_long(number, t, current);
    } else {
        COUNT(resent);
        if (p->credentials.nc) p->credentials.nc--; /* it is the same request, to the last byte */
        send_register(number);
        p->interval = p->interval * 2 < T2 ? p->interval * 2 : T2;
        double due = t + p->interval;
        wake_at(number, due < p->deadline ? due : p->deadline, current);
    }
}

/* Who an answer is for, by the branch that we chose; NOBODY if it is late. */
static int phone_of(const char *message) {
    struct text via = header(message, "Via");
    const char *branch = via.at ? strstr(via.at, "branch=z9hG4bK") : NULL;
    unsigned run, number, serial;
    if (!branch || sscanf(branch + 14, "%x.%x.%x", &run, &number, &serial) != 3) return NOBODY;
    if (run != run_id || number >= (unsigned)want.phones) return NOBODY;
    struct phone *p = &phones[number];
    return p->state == ASKED && p->serial == serial ? (int)number : NOBODY;
}

static void answered(const char *message, double t, int current) {
    int status = status_of(message), number = phone_of(message);
    if (number == NOBODY || status < 200) return;
    struct phone *p = &phones[number];
    char name[16];
    name_of(number, name);
    COUNT(answers);
    statuses[status < 700 ? status : 0]++;
    if (status == 401 && want.password && p->challenges++ < CHALLENGES &&
        take_challenge(&p->credentials, name, want.password, message)) {
        COUNT(challenged);
        ask(number, t, current);
    } else if (status < 300) {
        COUNT(registered);
        forget(number);
        p->state = REGISTERED;
        record(&latency, t - p->on);
        record(&all_latencies, t - p->on);
    } else if (status >= 500) {
        pause_told(number, message, t, current);
    } else {
        COUNT(refused);
        forget(number);
        p->state = REFUSED;
    }
}

/* ---- the run ---- */

static void write_second(int at) {
    if (!course) return;
    fprintf(course, "{\"at\": %d, \"on\": %ld, \"registered\": %ld, \"challenged\": %ld, \"resent\": %ld, "
            "\"told_to_wait\": %ld, \"timed_out\": %ld, \"refused\": %ld, "
            "\"p50_ms\": %.3f, \"p95_ms\": %.3f, \"p99_ms\": %.3f}\n",
            at, second.on, second.registered, second.challenged, second.resent, second.told_to_wait,
            second.timed_out, second.refused, quantile_ms(&latency, .5), quantile_ms(&latency, .95),
            quantile_ms(&latency, .99));
    fflush(course);
    memset(&second, 0, sizeof second);
    memset(&latency, 0, sizeof latency);
}

static int finished(void) { return total.registered + total.refused == want.phones; }

static void wake_all(int tick, double t) {
    for (int number = wheel[tick % TICKS]; number != NOBODY;) {
        int after = phones[number].after;
        if (phones[number].due <= t) {
            forget(number);
            wake(number, t, tick);
        } else wake_at(number, phones[number].due, tick);
        number = after;
    }
}

static void run(void) {
    struct epoll_event ready[LINES];
    int poller = epoll_create1(EPOLL_CLOEXEC), tick = 0, at = 0;
    for (int i = 0; i < want.lines; i++)
        if (epoll_ctl(poller, EPOLL_CTL_ADD, lines[i].fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = (uint32_t)i}))
            fail("epoll");
    for (double t = now(); t < began + want.seconds && !finished(); t = now()) {
        for (; tick < tick_of(t); tick++) wake_all(tick, t);
        for (int i = 0; i < want.lines; i++) flush(&lines[i]);
        int count = epoll_wait(poller, ready, LINES, TICK_MS / 2);
        t = now();
        for (int i = 0; i < count; i++) {
            struct channel *line = &lines[ready[i].data.u32];
            int received = receive(line);
            for (int k = 0; k < received; k++) answered(line->in[k], t, tick);
        }
        for (; at < (int)(t - began); at++) write_second(at);
    }
    write_second(at);
}

static void read_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "t:u:s:d:a:n:f:D:l:")) > 0) switch (option) {
        case 't': want.server = server_at(optarg); break;
        case 'u': want.phones = atoi(optarg); break;
        case 's': want.spread = atof(optarg); break;
        case 'd': want.seconds = atof(optarg); break;
        case 'a': want.password = optarg; break;
        case 'n': want.lines = atoi(optarg); break;
        case 'f': want.port = atoi(optarg); break;
        case 'D': want.domain = optarg; break;
        case 'l': want.course = optarg; break;
        default: exit(2);
    }
    errno = 0;
    if (!want.server.sin_port) fail("-t HOST:PORT is missing");
    if (want.phones < 1 || want.lines < 1 || want.lines > LINES) fail("-u or -n out of range");
}

static void prepare(void) {
    struct timespec wall;
    char host[32];
    clock_gettime(CLOCK_REALTIME, &wall);
    run_id = (uint32_t)(wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    first_cseq = (uint32_t)(wall.tv_sec & 0x3fffffff);
    phones = calloc((size_t)want.phones, sizeof *phones);
    lines = calloc((size_t)want.lines, sizeof *lines);
    if (!phones || !lines) fail("too many telephones");
    if (want.course && !(course = fopen(want.course, "w"))) fail(want.course);
    for (int i = 0; i < want.lines; i++) {
        snprintf(host, sizeof host, "127.0.1.%d", i + 1);
        open_channel(&lines[i], host, want.port);
    }
    for (int i = 0; i < TICKS; i++) wheel[i] = NOBODY;
    began = now();
    for (int i = 0; i < want.phones; i++) {
        phones[i].tick = NOBODY;
        wake_at(i, began + want.spread * i / want.phones, -1);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare();
    run();
    printf("{\"phones\": %d, \"registered\": %ld, \"seconds\": %.3f, \"challenged\": %ld, \"resent\": %ld, "
           "\"told_to_wait\": %ld, \"timed_out\": %ld, \"refused\": %ld, "
           "\"p50_ms\": %.3f, \"p95_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"statuses\": {",
           want.phones, total.registered, now() - began, total.challenged, total.resent, total.told_to_wait,
           total.timed_out, total.refused, quantile_ms(&all_latencies, .5), quantile_ms(&all_latencies, .95),
           quantile_ms(&all_latencies, .99), all_latencies.worst * 1e3);
    const char *comma = "";
    for (int i = 0; i < 700; i++)
        if (statuses[i]) { printf("%s\"%d\": %ld", comma, i, statuses[i]); comma = ", "; }
    printf("}}\n");
    return total.registered != want.phones;
}
