/* What load generators share: a clock, latencies, sockets in batches, reading of messages, digest. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"

enum { BATCH = 64, DATAGRAM = 4096 };

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void fail(const char *what) {
    fprintf(stderr, "generator: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

/* ---- latency: 64 linear steps per power of two microseconds, 1.6 % wide ---- */

struct histogram { uint64_t count[64 * 32], total; double worst; };

static inline int step_of(double seconds) {
    uint64_t us = (uint64_t)(seconds * 1e6);
    if (us < 64) return (int)us;
    int power = 63 - __builtin_clzll(us) - 6;
    int step = (power + 1) * 64 + (int)(us >> power) - 64;
    return step < 64 * 32 ? step : 64 * 32 - 1;
}

static inline double seconds_of(int step) {
    if (step < 64) return step * 1e-6;
    int power = step / 64 - 1;
    return (double)((uint64_t)(step % 64 + 64) << power) * 1e-6;
}

static inline void record(struct histogram *h, double seconds) {
    h->count[step_of(seconds)]++;
    h->total++;
    if (seconds > h->worst) h->worst = seconds;
}

static inline double quantile_ms(const struct histogram *h, double q) {
    uint64_t wanted = (uint64_t)(q * (double)h->total), seen = 0;
    for (int i = 0; i < 64 * 32; i++)
        if ((seen += h->count[i]) > wanted) return seconds_of(i) * 1e3;
    return h->worst * 1e3;
}

/* ---- a socket that reads and writes in batches ---- */

struct channel {
    int fd, queued;
    char name[48];
    char out[BATCH][DATAGRAM], in[BATCH][DATAGRAM + 1];
    struct iovec out_iov[BATCH], in_iov[BATCH];
    struct mmsghdr out_msg[BATCH], in_msg[BATCH];
    struct sockaddr_in to[BATCH], from[BATCH];
};

static inline void open_channel(struct channel *c, const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int size = 8 << 20;
    if (!inet_aton(host, &a.sin_addr)) fail("no IPv4 address");
    c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(c->fd, (struct sockaddr *)&a, sizeof a)) fail("bind");
    snprintf(c->name, sizeof c->name, "%s:%d", host, port);
    for (int i = 0; i < BATCH; i++) {
        c->in_iov[i] = (struct iovec){c->in[i], DATAGRAM};
        c->out_iov[i].iov_base = c->out[i];
        c->out_msg[i].msg_hdr = (struct msghdr){.msg_name = &c->to[i], .msg_namelen = sizeof c->to[i],
                                                .msg_iov = &c->out_iov[i], .msg_iovlen = 1};
    }
}

static inline void flush(struct channel *c) {
    for (int sent = 0; sent < c->queued;) {
        int n = sendmmsg(c->fd, c->out_msg + sent, (unsigned)(c->queued - sent), 0);
        if (n > 0) { sent += n; continue; }
        if (errno == EAGAIN || errno == ENOBUFS) poll(&(struct pollfd){c->fd, POLLOUT, 0}, 1, 10);
        else sent++; /* refused by an address that listens no more: lost like any datagram */
    }
    c->queued = 0;
}

static inline char *next_buffer(struct channel *c) {
    if (c->queued == BATCH) flush(c);
    return c->out[c->queued];
}

static inline void queue(struct channel *c, int length, const struct sockaddr_in *to) {
    if (length >= DATAGRAM) fail("message too long");
    c->to[c->queued] = *to;
    c->out_iov[c->queued++].iov_len = (size_t)length;
}

static inline int receive(struct channel *c) {
    for (int i = 0; i < BATCH; i++)
        c->in_msg[i].msg_hdr = (struct msghdr){.msg_name = &c->from[i], .msg_namelen = sizeof c->from[i],
                                               .msg_iov = &c->in_iov[i], .msg_iovlen = 1};
    int n = recvmmsg(c->fd, c->in_msg, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) c->in[i][c->in_msg[i].msg_len] = 0;
    return n < 0 ? 0 : n;
}

/* ---- reading messages ---- */

struct text { const char *at; int length; };

/* The first value of a header at or after `from`, which is the message or a point inside it. */
static inline struct text header(const char *from, const char *name) {
    size_t length = strlen(name);
    for (const char *line = from; (line = strstr(line, "\r\n")) && line[2] != '\r'; ) {
        line += 2;
        if (strncasecmp(line, name, length) || line[length] != ':') continue;
        const char *value = line + length + 1;
        while (*value == ' ') value++;
        const char *end = strstr(value, "\r\n");
        if (end) return (struct text){value, (int)(end - value)};
    }
    return (struct text){NULL, 0};
}

static inline int copy_headers(char *out, const char *message, const char *name) {
    int n = 0;
    for (struct text v = header(message, name); v.at; v = header(v.at, name))
        n += sprintf(out + n, "%s: %.*s\r\n", name, v.length, v.at);
    return n;
}

static inline int status_of(const char *message) {
    return strncmp(message, "SIP/2.0 ", 8) ? 0 : atoi(message + 8);
}

/* ---- digest (RFC 8760: SHA-256, qop auth) ---- */

/* Who a telephone is, and what it has been challenged with. */
struct credentials { unsigned nc; char ha1[65], nonce[200], realm[64]; };

/* The value of a quoted parameter. */
static inline struct text quoted(struct text value, const char *name) {
    char start[40];
    snprintf(start, sizeof start, "%s=\"", name);
    const char *at = value.at ? memmem(value.at, (size_t)value.length, start, strlen(start)) : NULL;
    if (!at) return (struct text){NULL, 0};
    at += strlen(start);
    const char *end = memchr(at, '"', (size_t)(value.at + value.length - at));
    return (struct text){at, end ? (int)(end - at) : 0};
}

/* Of several challenges the one for SHA-256; 0 if there is none. */
static inline int take_challenge(struct credentials *c, const char *user, const char *password, const char *answer) {
    char text[400];
    for (struct text line = header(answer, "WWW-Authenticate"); line.at; line = header(line.at, "WWW-Authenticate")) {
        struct text nonce = quoted(line, "nonce"), realm = quoted(line, "realm");
        if (!memmem(line.at, (size_t)line.length, "SHA-256", 7) || !nonce.at || !realm.at) continue;
        snprintf(c->nonce, sizeof c->nonce, "%.*s", nonce.length, nonce.at);
        snprintf(c->realm, sizeof c->realm, "%.*s", realm.length, realm.at);
        snprintf(text, sizeof text, "%s:%s:%s", user, c->realm, password);
        sha256_hex(text, c->ha1);
        c->nc = 0;
        return 1;
    }
    return 0;
}

/* The header field of a REGISTER, with the next nonce count; nothing before the first challenge. */
static inline int write_authorization(char *b, struct credentials *c, const char *user, const char *domain,
                                      uint32_t cnonce) {
    char text[600], ha2[65], response[65];
    if (!c->nonce[0]) return 0;
    snprintf(text, sizeof text, "REGISTER:sip:%s", domain);
    sha256_hex(text, ha2);
    snprintf(text, sizeof text, "%s:%s:%08x:%08x:auth:%s", c->ha1, c->nonce, ++c->nc, cnonce, ha2);
    sha256_hex(text, response);
    return sprintf(b, "Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"sip:%s\", "
                   "response=\"%s\", algorithm=SHA-256, cnonce=\"%08x\", qop=auth, nc=%08x\r\n",
                   user, c->realm, c->nonce, domain, response, cnonce, c->nc);
}

/* ---- the command line ---- */

/* The server's address out of HOST:PORT. */
static inline struct sockaddr_in server_at(char *hostport) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    char *colon = strrchr(hostport, ':');
    int port;
    if (!colon || (port = atoi(colon + 1)) < 1) fail("-t HOST:PORT");
    *colon = 0;
    if (!inet_aton(hostport, &a.sin_addr)) fail("-t wants an IPv4 address");
    a.sin_port = htons((uint16_t)port);
    return a;
}
