/*
 * kmipload - a bounded, loopback-only load generator for KMIP servers
 * (TTLV over mutual TLS).  C, OpenSSL 3, epoll, pthreads.  See README.md.
 *
 * Every response is checked; anything that is not exactly the expected answer
 * counts as an error and never as an operation.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "ttlv.h"

/* hard bounds: no flag can go past these */
#define MAX_CONNS     4096
#define MAX_THREADS   16
#define MAX_DURATION  300.0
#define MAX_WARMUP    60.0
#define MAX_COUNT     5000000L
#define MAX_RESP      (4u << 20)
#define MAX_STEPS     8
#define DRAIN_NS      3000000000ull
#define BACKOFF_NS    5000000ull

/* ---- configuration ---------------------------------------------------- */

enum mode { M_HANDSHAKE, M_COLD_GET, M_GET, M_CREATE, M_LOCATE, M_MIX, M_NMODES };
static const char *const mode_name[] = { "handshake", "cold-get", "get", "create", "locate", "mix" };

/* request kinds; the first ones are pseudo-operations with their own histogram */
enum op { O_UNIT, O_CONNECT, O_CREATE, O_ACTIVATE, O_GET, O_GETATTR, O_LOCATE,
          O_REVOKE, O_DESTROY, O_QUERY, O_DISCOVER, O_N };
static const char *const op_name[] = { "unit", "connect", "create", "activate", "get", "getattr",
                                       "locate", "revoke", "destroy", "query", "discover" };
static const uint32_t op_kmip[] = { 0, 0, KOP_CREATE, KOP_ACTIVATE, KOP_GET, KOP_GETATTR, KOP_LOCATE,
                                    KOP_REVOKE, KOP_DESTROY, KOP_QUERY, KOP_DISCOVER };

struct uent { char *uid; char *name; int has_sha; uint8_t sha[32]; };

static struct {
    enum mode mode;
    const char *host; int port;
    const char *ca, *cert, *key, *sni, *ciphers, *groups;
    int tls;                       /* 0 any, 12, 13 */
    int no_name_check, resume, confirm, accept_eof, discover;
    int conns, threads, src;
    double duration, warmup, rate, timeout;
    long count, max_errors;
    int kmaj, kmin, raw_format;
    const char *uid_file, *uid_out, *json, *name_prefix, *attrs, *flow;
    int uid_seq;
    const char *xattr[8]; int nxattr;
    int mix[O_N];
    pid_t pids[16]; int npids;
    int quiet;
} C = { .host = "127.0.0.1", .port = 5696, .conns = 1, .threads = 1, .duration = 5, .warmup = 1,
        .timeout = 10, .max_errors = 1000, .kmaj = 1, .kmin = 4, .confirm = 1,
        .attrs = "State,Cryptographic Algorithm,Cryptographic Length" };

static struct uent *U; static size_t NU;
static uint8_t flow_steps[MAX_STEPS]; static int flow_n;
static char *attr_list[16], *d_attrs; static int nattr;
static struct sockaddr_storage target; static socklen_t target_len;
static SSL_CTX *ctx;

/* ---- shared run state -------------------------------------------------- */

enum { WARM, MEASURE, STOP };
static _Atomic int phase = WARM;
static _Atomic long issued, done_units, total_errors;
static _Atomic unsigned long seq_next, name_next;
static _Atomic int aborted;
static FILE *uid_out_f; static pthread_mutex_t uid_out_m = PTHREAD_MUTEX_INITIALIZER;

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *fmt, ...)
{
    va_list a;
    va_start(a, fmt);
    fputs("kmipload: ", stderr);
    vfprintf(stderr, fmt, a);
    fputc('\n', stderr);
    va_end(a);
    exit(1);
}

/* ---- histogram: log-linear, 128 steps per power of two (<0.8 % wide) --- */

#define HB 7
#define HN ((65 - HB) << HB)
struct hist { uint64_t n, sum, min, max; uint32_t b[HN]; };

static inline unsigned h_idx(uint64_t v)
{
    if (v < (2u << HB)) return (unsigned)v;
    int e = 63 - __builtin_clzll(v);
    return ((unsigned)(e - HB) << HB) + (unsigned)(v >> (e - HB));
}
static inline uint64_t h_val(unsigned i)
{
    if (i < (2u << HB)) return i;
    unsigned e = (i >> HB) - 1;
    uint64_t lo = (uint64_t)(i - (e << HB)) << e;
    return lo + (1ull << e) / 2;
}
static inline void h_add(struct hist *h, uint64_t v)
{
    if (!h->n || v < h->min) h->min = v;
    if (v > h->max) h->max = v;
    h->n++; h->sum += v; h->b[h_idx(v)]++;
}
static void h_merge(struct hist *d, const struct hist *s)
{
    if (!s->n) return;
    if (!d->n || s->min < d->min) d->min = s->min;
    if (s->max > d->max) d->max = s->max;
    d->n += s->n; d->sum += s->sum;
    for (unsigned i = 0; i < HN; i++) d->b[i] += s->b[i];
}
static double h_pct(const struct hist *h, double p)
{
    if (!h->n) return 0;
    uint64_t want = (uint64_t)(p / 100.0 * (double)h->n + 0.9999999), c = 0;
    if (want < 1) want = 1;
    for (unsigned i = 0; i < HN; i++) {
        c += h->b[i];
        if (c >= want) {
            uint64_t v = h_val(i);
            return (double)(v > h->max ? h->max : v) / 1000.0;
        }
    }
    return (double)h->max / 1000.0;
}

/* ---- errors ------------------------------------------------------------ */

static struct { char key[112]; long n; } errs[64];
static int nerrs; static char err_sample[256];
static pthread_mutex_t err_m = PTHREAD_MUTEX_INITIALIZER;

static void note_error(const char *key, const char *sample)
{
    pthread_mutex_lock(&err_m);
    int i;
    for (i = 0; i < nerrs; i++) if (!strcmp(errs[i].key, key)) break;
    if (i == nerrs && nerrs < 63) { snprintf(errs[nerrs++].key, sizeof errs[0].key, "%s", key); }
    if (i == nerrs) { i = 63; snprintf(errs[63].key, sizeof errs[0].key, "other"); }
    errs[i].n++;
    if (!err_sample[0]) snprintf(err_sample, sizeof err_sample, "%s%s%s", key, sample ? ": " : "", sample ? sample : "");
    pthread_mutex_unlock(&err_m);
    if (atomic_fetch_add(&total_errors, 1) + 1 >= C.max_errors) {
        atomic_store(&aborted, 1);
        atomic_store(&phase, STOP);
    }
}

static const char *reason_name(uint32_t r)
{
    static const char *const n[] = {
        "None", "ItemNotFound", "ResponseTooLarge", "AuthenticationNotSuccessful", "InvalidMessage",
        "OperationNotSupported", "MissingData", "InvalidField", "FeatureNotSupported",
        "OperationCanceledByRequester", "CryptographicFailure", "IllegalOperation", "PermissionDenied",
        "ObjectArchived", "IndexOutOfBounds", "ApplicationNamespaceNotSupported",
        "KeyFormatTypeNotSupported", "KeyCompressionTypeNotSupported", "EncodingOptionError",
        "KeyValueNotPresent", "AttestationRequired", "AttestationFailed", "Sensitive",
        "NotExtractable", "ObjectAlreadyExists" };
    if (r == 0x100) return "GeneralFailure";
    return r < sizeof n / sizeof *n ? n[r] : "Unknown";
}

/* ---- connections and threads ------------------------------------------- */

enum st { S_OFF, S_TLS, S_IDLE, S_WRITE, S_READ, S_CLOSE, S_BACKOFF, S_PARKED };

struct thr;
struct conn {
    struct thr *t;
    SSL *ssl; int fd; enum st st; uint32_t ev;
    int active, ticket, id, ticketed;
    uint64_t t_unit, t_req, t_conn, deadline;
    uint8_t steps[MAX_STEPS]; int nsteps, step; enum op op;
    const struct uent *u;
    char uid[256], name[96]; uint8_t sha[32]; int has_sha, created;
    uint8_t wbuf[4096]; size_t wlen, woff;
    uint8_t *rbuf; size_t rcap, rlen;
    SSL_SESSION *sess;
};
struct thr {
    pthread_t th; int ep, id;
    struct conn *c; int n;
    struct conn **idle; int nidle;
    int nactive; uint64_t rng, next_due;
    uint64_t units, reqs, connects, resumed, unclean, idle_closed, last_done, late_units;
    struct hist h[O_N];
};

static uint64_t rnd(struct thr *t)
{
    t->rng ^= t->rng << 13; t->rng ^= t->rng >> 7; t->rng ^= t->rng << 17;
    return t->rng;
}
static int persistent(void) { return C.mode != M_HANDSHAKE && C.mode != M_COLD_GET; }

static void want(struct conn *c, uint32_t ev)
{
    if (c->ev == ev) return;
    struct epoll_event e = { .events = ev, .data.ptr = c };
    epoll_ctl(c->t->ep, EPOLL_CTL_MOD, c->fd, &e);
    c->ev = ev;
}
static void conn_close(struct conn *c)
{
    if (c->ssl) { SSL_free(c->ssl); c->ssl = NULL; }
    if (c->fd >= 0) { close(c->fd); c->fd = -1; }
    c->st = S_OFF;
    c->rlen = 0;
}
static void set_active(struct conn *c, int a)
{
    if (c->active != a) { c->active = a; c->t->nactive += a ? 1 : -1; }
}

static int on_new_session(SSL *s, SSL_SESSION *sess)
{
    struct conn *c = SSL_get_app_data(s);
    c->ticketed = 1;
    if (!C.resume) return 0;
    if (c->sess) SSL_SESSION_free(c->sess);
    c->sess = sess;
    return 1;
}

/* The unit failed.  If drop, the connection goes too. */
static void unit_fail(struct conn *c, int drop, const char *key, const char *sample)
{
    int ph = atomic_load(&phase);
    char k[112];
    if (ph == WARM) { snprintf(k, sizeof k, "warmup:%s", key); key = k; }
    /* errors while draining after the end are the harness's, not the server's */
    if (ph != STOP) note_error(key, sample);
    if (C.count && c->ticket) atomic_fetch_add(&done_units, 1);
    c->ticket = 0;
    if (drop) {
        conn_close(c);
        set_active(c, 0);
        c->st = S_BACKOFF;
        c->deadline = now_ns() + BACKOFF_NS;
    } else {
        set_active(c, 0);
        c->st = S_IDLE;
    }
}

static void tls_fail(struct conn *c, const char *where, int r)
{
    char key[112], sample[200];
    int e = SSL_get_error(c->ssl, r), en = errno;
    unsigned long q = ERR_peek_error();
    long vr = SSL_get_verify_result(c->ssl);
    sample[0] = 0;
    if (vr != X509_V_OK && q) {
        snprintf(key, sizeof key, "tls:%s:server-cert:%s", where, X509_verify_cert_error_string(vr));
    } else if (q) {
        const char *s = ERR_reason_error_string(q);
        snprintf(key, sizeof key, "tls:%s:%s", where, s ? s : "unknown");
        ERR_error_string_n(q, sample, sizeof sample);
    } else if (e == SSL_ERROR_SYSCALL && en) {
        snprintf(key, sizeof key, "tcp:%s:%s", where, strerrorname_np(en) ? strerrorname_np(en) : "errno");
    } else if (e == SSL_ERROR_ZERO_RETURN || e == SSL_ERROR_SYSCALL) {
        snprintf(key, sizeof key, "tcp:%s:eof", where);
    } else {
        snprintf(key, sizeof key, "tls:%s:ssl-error-%d", where, e);
    }
    ERR_clear_error();
    unit_fail(c, 1, key, sample[0] ? sample : NULL);
}

/* ---- requests ---------------------------------------------------------- */

static void put_attr_i32(struct wb *w, const char *n, int type, uint32_t v)
{
    size_t a = tt_open(w, TAG_ATTRIBUTE);
    tt_text(w, TAG_ATTR_NAME, n);
    tt_i32(w, TAG_ATTR_VALUE, type, v);
    tt_close(w, a);
}
static void put_attr_name(struct wb *w, const char *v)
{
    size_t a = tt_open(w, TAG_ATTRIBUTE), s;
    tt_text(w, TAG_ATTR_NAME, "Name");
    s = tt_open(w, TAG_ATTR_VALUE);
    tt_text(w, TAG_NAME_VALUE, v);
    tt_i32(w, TAG_NAME_TYPE, TT_ENUM, 1);
    tt_close(w, s);
    tt_close(w, a);
}

static void build_request(struct conn *c)
{
    struct wb w = { c->wbuf, 0, sizeof c->wbuf, 0 };
    size_t m = tt_open(&w, TAG_REQ_MESSAGE), h = tt_open(&w, TAG_REQ_HEADER), v, b, p, t;
    v = tt_open(&w, TAG_PROTO);
    tt_i32(&w, TAG_PROTO_MAJOR, TT_INT, (uint32_t)C.kmaj);
    tt_i32(&w, TAG_PROTO_MINOR, TT_INT, (uint32_t)C.kmin);
    tt_close(&w, v);
    tt_i32(&w, TAG_BATCH_COUNT, TT_INT, 1);
    tt_close(&w, h);
    b = tt_open(&w, TAG_BATCH_ITEM);
    tt_i32(&w, TAG_OPERATION, TT_ENUM, op_kmip[c->op]);
    p = tt_open(&w, TAG_REQ_PAYLOAD);
    switch (c->op) {
    case O_CREATE:
        tt_i32(&w, TAG_OBJECT_TYPE, TT_ENUM, 2);
        t = tt_open(&w, TAG_TEMPLATE);
        put_attr_i32(&w, "Cryptographic Algorithm", TT_ENUM, 3);
        put_attr_i32(&w, "Cryptographic Length", TT_INT, 256);
        put_attr_i32(&w, "Cryptographic Usage Mask", TT_INT, 0x0C);
        c->name[0] = 0;
        if (C.name_prefix) {
            snprintf(c->name, sizeof c->name, "%s-%d-%lu", C.name_prefix, (int)getpid(),
                     atomic_fetch_add(&name_next, 1));
            put_attr_name(&w, c->name);
        }
        for (int i = 0; i < C.nxattr; i++) {
            const char *eq = strchr(C.xattr[i], '=');
            size_t a = tt_open(&w, TAG_ATTRIBUTE);
            tt_raw(&w, TAG_ATTR_NAME, TT_TEXT, C.xattr[i], (size_t)(eq - C.xattr[i]));
            tt_text(&w, TAG_ATTR_VALUE, eq + 1);
            tt_close(&w, a);
        }
        tt_close(&w, t);
        break;
    case O_GET:
        tt_text(&w, TAG_UNIQUE_ID, c->uid);
        if (C.raw_format) tt_i32(&w, TAG_KEY_FORMAT, TT_ENUM, 1);
        break;
    case O_GETATTR:
        tt_text(&w, TAG_UNIQUE_ID, c->uid);
        for (int i = 0; i < nattr; i++) tt_text(&w, TAG_ATTR_NAME, attr_list[i]);
        break;
    case O_LOCATE:
        if (c->u && c->u->name) {
            put_attr_name(&w, c->u->name);
        } else {
            tt_i32(&w, TAG_MAX_ITEMS, TT_INT, 10);
            put_attr_i32(&w, "Object Type", TT_ENUM, 2);
        }
        break;
    case O_REVOKE:
        tt_text(&w, TAG_UNIQUE_ID, c->uid);
        t = tt_open(&w, TAG_REVOKE_REASON);
        tt_i32(&w, TAG_REVOKE_CODE, TT_ENUM, 6);      /* Cessation of Operation */
        tt_close(&w, t);
        break;
    case O_DISCOVER:                                  /* empty, as vCenter sends it */
        break;
    case O_QUERY:
        tt_i32(&w, 0x420074, TT_ENUM, 1);             /* Query Function: Operations */
        break;
    default:
        tt_text(&w, TAG_UNIQUE_ID, c->uid);
    }
    tt_close(&w, p);
    tt_close(&w, b);
    tt_close(&w, m);
    c->wlen = w.n; c->woff = 0;
    if (w.overflow) die("request does not fit its buffer");
}

/* ---- responses --------------------------------------------------------- */

/* Returns NULL when the response is exactly right, else an error key.
 * *drop says whether the connection can still be trusted. */
static const char *check_response(struct conn *c, int *drop, char *key, size_t keyn, char *sample, size_t samplen)
{
    struct tl msg, hdr, pv, x, item, pay, o, kb, kv;
    const uint8_t *p = c->rbuf, *end = c->rbuf + c->rlen;
    int nitem = 0;
    *drop = 1;
#define BAD(s) do { snprintf(key, keyn, "malformed:%s:" s, op_name[c->op]); return key; } while (0)
#define WRONG(s) do { *drop = 0; snprintf(key, keyn, "verify:%s:" s, op_name[c->op]); return key; } while (0)
    if (tt_next(&p, end, &msg) != 1 || p != end || msg.tag != TAG_RSP_MESSAGE || msg.type != TT_STRUCT) BAD("message");
    p = msg.v; end = msg.v + msg.len;
    if (tt_next(&p, end, &hdr) != 1 || hdr.tag != TAG_RSP_HEADER || hdr.type != TT_STRUCT) BAD("header");
    if (tt_find(&hdr, TAG_PROTO, TT_STRUCT, &pv) != 1) BAD("no-version");
    if (tt_find(&hdr, TAG_TIMESTAMP, TT_DATE, &x) != 1) BAD("no-timestamp");
    if (tt_find(&hdr, TAG_BATCH_COUNT, TT_INT, &x) != 1 || rd32(x.v) != 1) BAD("batch-count");
    memset(&item, 0, sizeof item);
    for (;;) {
        int r = tt_next(&p, end, &x);
        if (r < 0) BAD("batch");
        if (!r) break;
        if (x.tag != TAG_BATCH_ITEM || x.type != TT_STRUCT) BAD("batch-tag");
        item = x; nitem++;
    }
    if (nitem != 1) BAD("batch-items");
    if (tt_find(&item, TAG_RESULT_STATUS, TT_ENUM, &x) != 1) BAD("no-status");
    uint32_t status = rd32(x.v);
    if (status != 0) {
        uint32_t reason = 0;
        int r = tt_find(&item, TAG_RESULT_REASON, TT_ENUM, &x);
        if (r < 0) BAD("reason");
        if (r == 1) reason = rd32(x.v); else if (status == 1) BAD("failed-without-reason");
        if (tt_find(&item, TAG_RESULT_MSG, TT_TEXT, &x) == 1)
            snprintf(sample, samplen, "%.*s", (int)(x.len > 180 ? 180 : x.len), (const char *)x.v);
        *drop = 0;
        snprintf(key, keyn, "kmip:%s:status%u:0x%x-%s", op_name[c->op], status, reason, reason_name(reason));
        return key;
    }
    /* checked only on success: a server may answer an error in its own version */
    if (tt_find(&pv, TAG_PROTO_MAJOR, TT_INT, &x) != 1 || rd32(x.v) != (uint32_t)C.kmaj) WRONG("version-major");
    if (tt_find(&pv, TAG_PROTO_MINOR, TT_INT, &x) != 1 || rd32(x.v) != (uint32_t)C.kmin) WRONG("version-minor");
    if (tt_find(&item, TAG_OPERATION, TT_ENUM, &x) != 1 || rd32(x.v) != op_kmip[c->op]) WRONG("operation-echo");
    if (tt_find(&item, TAG_RSP_PAYLOAD, TT_STRUCT, &pay) != 1) BAD("no-payload");

    if (c->op == O_QUERY) return tt_find(&pay, TAG_OPERATION, TT_ENUM, &x) == 1 ? NULL : (snprintf(key, keyn, "verify:query:no-operations"), *drop = 0, key);

    if (c->op == O_DISCOVER) {
        int r, hit = 0;
        const uint8_t *q = pay.v, *qe = pay.v + pay.len;
        struct tl a;
        while ((r = tt_next(&q, qe, &x)) == 1) {
            if (x.tag != TAG_PROTO || x.type != TT_STRUCT) BAD("version-list");
            if (tt_find(&x, TAG_PROTO_MAJOR, TT_INT, &a) != 1) BAD("version-list");
            uint32_t major = rd32(a.v);
            if (tt_find(&x, TAG_PROTO_MINOR, TT_INT, &a) != 1) BAD("version-list");
            if (major == (uint32_t)C.kmaj && rd32(a.v) == (uint32_t)C.kmin) hit = 1;
        }
        if (r < 0) BAD("payload");
        if (!hit) WRONG("our-version-not-offered");
        return NULL;
    }

    if (c->op == O_LOCATE) {
        int n = 0, hit = 0, r;
        const uint8_t *q = pay.v, *qe = pay.v + pay.len;
        while ((r = tt_next(&q, qe, &x)) == 1)
            if (x.tag == TAG_UNIQUE_ID) {
                if (x.type != TT_TEXT || !x.len) BAD("uid");
                n++;
                if (c->u && tl_is(&x, c->u->uid)) hit = 1;
            }
        if (r < 0) BAD("payload");
        if (c->u && c->u->name) {
            if (!n) WRONG("not-found");
            if (n != 1) WRONG("more-than-one");
            if (!hit) WRONG("wrong-uid");
        } else if (n < 1 || n > 10) WRONG("count");
        return NULL;
    }

    if (tt_find(&pay, TAG_UNIQUE_ID, TT_TEXT, &x) != 1 || !x.len || x.len >= sizeof c->uid) BAD("no-uid");
    if (c->op == O_CREATE) {
        memcpy(c->uid, x.v, x.len);
        c->uid[x.len] = 0;
        if (strlen(c->uid) != x.len) BAD("uid-nul");
        if (tt_find(&pay, TAG_OBJECT_TYPE, TT_ENUM, &x) != 1 || rd32(x.v) != 2) WRONG("object-type");
        c->created = 1; c->has_sha = 0;
        return NULL;
    }
    if (!tl_is(&x, c->uid)) WRONG("uid-echo");
    if (c->op == O_GET) {
        if (tt_find(&pay, TAG_OBJECT_TYPE, TT_ENUM, &x) != 1 || rd32(x.v) != 2) WRONG("object-type");
        if (tt_find(&pay, TAG_SYMKEY, TT_STRUCT, &o) != 1) BAD("no-key");
        if (tt_find(&o, TAG_KEY_BLOCK, TT_STRUCT, &kb) != 1) BAD("no-key-block");
        if (tt_find(&kb, TAG_KEY_FORMAT, TT_ENUM, &x) != 1 || rd32(x.v) != 1) WRONG("format-not-raw");
        if (tt_find(&kb, TAG_KEY_VALUE, TT_STRUCT, &kv) != 1) BAD("no-key-value");
        if (tt_find(&kb, TAG_CRYPTO_ALG, TT_ENUM, &x) != 1 || rd32(x.v) != 3) WRONG("algorithm");
        if (tt_find(&kb, TAG_CRYPTO_LEN, TT_INT, &x) != 1 || rd32(x.v) != 256) WRONG("crypto-length");
        if (tt_find(&kv, TAG_KEY_MATERIAL, TT_BYTES, &x) != 1) BAD("no-key-material");
        if (x.len != 32) WRONG("key-length");
        if (c->created) {
            SHA256(x.v, x.len, c->sha);
            c->has_sha = 1;
        } else if (c->u && c->u->has_sha) {
            uint8_t d[32];
            SHA256(x.v, x.len, d);
            if (memcmp(d, c->u->sha, 32)) WRONG("sha256");
        }
        return NULL;
    }
    if (c->op == O_GETATTR) {
        int got = 0, r;
        const uint8_t *q = pay.v, *qe = pay.v + pay.len;
        struct tl a, n, v;
        while ((r = tt_next(&q, qe, &a)) == 1) {
            if (a.tag != TAG_ATTRIBUTE) continue;
            if (a.type != TT_STRUCT || tt_find(&a, TAG_ATTR_NAME, TT_TEXT, &n) != 1) BAD("attribute");
            for (int i = 0; i < nattr; i++) if (tl_is(&n, attr_list[i])) { got++; break; }
            if (tl_is(&n, "Cryptographic Length") && (tt_find(&a, TAG_ATTR_VALUE, TT_INT, &v) != 1 || rd32(v.v) != 256)) WRONG("attr-length");
            if (tl_is(&n, "Cryptographic Algorithm") && (tt_find(&a, TAG_ATTR_VALUE, TT_ENUM, &v) != 1 || rd32(v.v) != 3)) WRONG("attr-algorithm");
            if (tl_is(&n, "State") && (tt_find(&a, TAG_ATTR_VALUE, TT_ENUM, &v) != 1 || rd32(v.v) < 1 || rd32(v.v) > 6)) WRONG("attr-state");
        }
        if (r < 0) BAD("payload");
        if (got < nattr) WRONG("attr-missing");
    }
    return NULL;
}

/* ---- the state machine ------------------------------------------------- */

static void start_connect(struct conn *c)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    int one = 1;
    c->fd = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) { unit_fail(c, 1, "tcp:socket", strerror(errno)); return; }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (C.src) {
        struct sockaddr_in s = { .sin_family = AF_INET };
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        s.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)(c->id % C.src));
        if (bind(c->fd, (struct sockaddr *)&s, sizeof s)) { unit_fail(c, 1, "tcp:bind", strerror(errno)); return; }
    }
    c->t_conn = now_ns();
    if (connect(c->fd, (struct sockaddr *)&target, target_len) && errno != EINPROGRESS) {
        char k[64];
        snprintf(k, sizeof k, "tcp:connect:%s", strerrorname_np(errno));
        unit_fail(c, 1, k, NULL);
        return;
    }
    c->ssl = SSL_new(ctx);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd)) die("SSL_new failed");
    SSL_set_app_data(c->ssl, c);
    c->ticketed = 0;
    if (C.sni) SSL_set_tlsext_host_name(c->ssl, C.sni);
    if (!C.no_name_check) {
        if (C.sni) SSL_set1_host(c->ssl, C.sni);
        else X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), C.host);
    }
    if (C.resume && c->sess) SSL_set_session(c->ssl, c->sess);
    SSL_set_connect_state(c->ssl);
    epoll_ctl(c->t->ep, EPOLL_CTL_ADD, c->fd, &e);
    c->ev = EPOLLIN;
    c->st = S_TLS;
}

static void start_step(struct conn *c, uint64_t now)
{
    c->op = c->steps[c->step];
    build_request(c);
    c->t_req = now;
    c->rlen = 0;
    c->st = S_WRITE;
}

/* choose the work; 0 when there is none left */
static int choose_unit(struct conn *c)
{
    struct thr *t = c->t;
    int ph = atomic_load_explicit(&phase, memory_order_relaxed);
    c->ticket = 0;
    if (ph == STOP) return 0;
    if (C.count && ph == MEASURE) {
        if (atomic_fetch_add(&issued, 1) >= C.count) return 0;
        c->ticket = 1;
    }
    enum op first = O_GET;
    c->created = 0; c->has_sha = 0; c->u = NULL; c->uid[0] = 0; c->step = 0;
    if (C.mode == M_HANDSHAKE) { c->nsteps = 0; return 1; }
    if (C.mode == M_CREATE) first = O_CREATE;
    else if (C.mode == M_LOCATE) first = O_LOCATE;
    else if (C.mode == M_MIX) {
        int r = (int)(rnd(t) % 100);
        for (int i = 0; i < O_N; i++) { if (r < C.mix[i]) { first = (enum op)i; break; } r -= C.mix[i]; }
    }
    if (first == O_CREATE) {
        memcpy(c->steps, flow_steps, sizeof flow_steps);
        c->nsteps = flow_n;
        return 1;
    }
    c->nsteps = 0;
    if (C.discover) c->steps[c->nsteps++] = O_DISCOVER;
    c->steps[c->nsteps++] = (uint8_t)first;
    if (NU) {
        c->u = &U[C.uid_seq ? atomic_fetch_add(&seq_next, 1) % NU : rnd(t) % NU];
        snprintf(c->uid, sizeof c->uid, "%s", c->u->uid);
    }
    return 1;
}

static void unit_begin(struct conn *c, uint64_t t0)
{
    if (!choose_unit(c)) {
        set_active(c, 0);
        if (c->st == S_OFF || c->st == S_BACKOFF) c->st = S_PARKED; else c->st = S_IDLE;
        return;
    }
    set_active(c, 1);
    c->t_unit = t0;
    c->deadline = now_ns() + (uint64_t)(C.timeout * 1e9);
    if (!c->ssl) start_connect(c);
    else start_step(c, now_ns());
}

static void uid_log(struct conn *c)
{
    if (!uid_out_f) return;
    char hex[65] = "-";
    if (c->has_sha) for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", c->sha[i]);
    pthread_mutex_lock(&uid_out_m);
    fprintf(uid_out_f, "%s %s %s\n", c->uid, hex, c->name[0] ? c->name : "-");
    pthread_mutex_unlock(&uid_out_m);
}

/* record a finished unit */
static void unit_done(struct conn *c, uint64_t now)
{
    struct thr *t = c->t;
    if (c->created) uid_log(c);
    if (atomic_load_explicit(&phase, memory_order_relaxed) == MEASURE && (!C.count || c->ticket)) {
        h_add(&t->h[O_UNIT], now > c->t_unit ? now - c->t_unit : 0);
        t->units++;
        t->last_done = now;
    }
    if (C.count && c->ticket) atomic_fetch_add(&done_units, 1);
    c->ticket = 0;
}
static void count_op(struct conn *c, enum op o, uint64_t ns)
{
    if (atomic_load_explicit(&phase, memory_order_relaxed) != MEASURE || (C.count && !c->ticket)) return;
    h_add(&c->t->h[o], ns);
    if (o != O_CONNECT) c->t->reqs++;
}

/* after a unit: take the next one, or wait for the schedule in rate mode */
static void next_unit(struct conn *c, uint64_t now)
{
    if (C.rate > 0) {
        set_active(c, 0);
        if (c->st != S_OFF) c->st = S_IDLE;
        c->t->idle[c->t->nidle++] = c;
    } else {
        unit_begin(c, now);
    }
}

static void drive(struct conn *c)
{
    for (;;) {
        int r, e;
        uint64_t now;
        switch (c->st) {
        case S_TLS:
            ERR_clear_error(); errno = 0;
            r = SSL_connect(c->ssl);
            if (r != 1) {
                e = SSL_get_error(c->ssl, r);
                if (e == SSL_ERROR_WANT_READ) { want(c, EPOLLIN); return; }
                if (e == SSL_ERROR_WANT_WRITE) { want(c, EPOLLOUT); return; }
                tls_fail(c, "handshake", r);
                return;
            }
            want(c, EPOLLIN);
            now = now_ns();
            if (SSL_get_verify_result(c->ssl) != X509_V_OK) { unit_fail(c, 1, "tls:handshake:server-unverified", NULL); return; }
            if (atomic_load(&phase) == MEASURE) {
                c->t->connects++;
                if (SSL_session_reused(c->ssl)) c->t->resumed++;
            }
            count_op(c, O_CONNECT, now - c->t_conn);
            if (C.mode == M_HANDSHAKE) {
                ERR_clear_error();
                SSL_shutdown(c->ssl);
                ERR_clear_error();
                if (!C.confirm) {
                    conn_close(c); unit_done(c, now); next_unit(c, now);
                    if (c->st == S_TLS) continue;
                    return;
                }
                c->st = S_CLOSE;
                continue;
            }
            /* a persistent connection's setup is not part of the first unit's latency */
            if (persistent()) { now = now_ns(); if (C.rate <= 0) c->t_unit = now; }
            start_step(c, now);
            continue;

        case S_WRITE:
            ERR_clear_error(); errno = 0;
            r = SSL_write(c->ssl, c->wbuf + c->woff, (int)(c->wlen - c->woff));
            if (r <= 0) {
                e = SSL_get_error(c->ssl, r);
                if (e == SSL_ERROR_WANT_READ) { want(c, EPOLLIN); return; }
                if (e == SSL_ERROR_WANT_WRITE) { want(c, EPOLLIN | EPOLLOUT); return; }
                tls_fail(c, "write", r);
                return;
            }
            c->woff += (size_t)r;
            if (c->woff < c->wlen) continue;
            want(c, EPOLLIN);
            c->st = S_READ;
            return;                       /* nothing to read before epoll says so */

        case S_READ: {
            if (c->rcap - c->rlen < 4096) {
                size_t nc = c->rcap ? c->rcap * 2 : 16384;
                if (nc > MAX_RESP * 2) { unit_fail(c, 1, "malformed:too-long", NULL); return; }
                uint8_t *nb = realloc(c->rbuf, nc);
                if (!nb) die("out of memory");
                c->rbuf = nb; c->rcap = nc;
            }
            ERR_clear_error(); errno = 0;
            r = SSL_read(c->ssl, c->rbuf + c->rlen, (int)(c->rcap - c->rlen));
            if (r <= 0) {
                e = SSL_get_error(c->ssl, r);
                if (e == SSL_ERROR_WANT_READ) { want(c, EPOLLIN); return; }
                if (e == SSL_ERROR_WANT_WRITE) { want(c, EPOLLIN | EPOLLOUT); return; }
                tls_fail(c, "read", r);
                return;
            }
            c->rlen += (size_t)r;
            if (c->rlen < 8) continue;
            uint32_t len = rd32(c->rbuf + 4);
            if (len > MAX_RESP) { unit_fail(c, 1, "malformed:length", NULL); return; }
            if (c->rlen < 8 + (size_t)len) continue;
            now = now_ns();
            if (c->rlen > 8 + (size_t)len) { unit_fail(c, 1, "malformed:extra-bytes", NULL); return; }
            char key[112], sample[200];
            int drop = 1;
            sample[0] = 0;
            if (check_response(c, &drop, key, sizeof key, sample, sizeof sample)) {
                if (c->created) uid_log(c);
                int cold = !persistent();
                unit_fail(c, drop || cold, key, sample[0] ? sample : NULL);
                if (drop || cold) return;
                next_unit(c, now);
                if (c->st == S_WRITE || c->st == S_TLS) continue;
                return;
            }
            count_op(c, c->op, now - c->t_req);
            if (++c->step < c->nsteps) { start_step(c, now_ns()); continue; }
            if (C.mode == M_COLD_GET) {
                ERR_clear_error();
                SSL_shutdown(c->ssl);     /* send close_notify, do not wait for the peer's */
                ERR_clear_error();
                conn_close(c);
            }
            unit_done(c, now);
            next_unit(c, now_ns());
            if (c->st == S_WRITE || c->st == S_TLS) continue;
            return;
        }

        case S_CLOSE: {
            /* Wait for the server's close: only then is it certain that it took
             * our certificate (in TLS 1.3 it decides after our side is done). */
            uint8_t buf[512];
            ERR_clear_error(); errno = 0;
            r = SSL_read(c->ssl, buf, sizeof buf);
            if (r > 0) continue;          /* a server greeting would be odd; ignore */
            e = SSL_get_error(c->ssl, r);
            if (e == SSL_ERROR_WANT_READ) { want(c, EPOLLIN); return; }
            if (e == SSL_ERROR_WANT_WRITE) { want(c, EPOLLIN | EPOLLOUT); return; }
            if (e == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
                /* FIN without close_notify.  Before TLS 1.3 the server's Finished was the proof.  In 1.3
                 * a server that rejects us and loses its alert looks just like this, so it takes a ticket. */
                if (SSL_version(c->ssl) >= TLS1_3_VERSION && !c->ticketed && !C.accept_eof) {
                    ERR_clear_error();
                    unit_fail(c, 1, "unconfirmed:eof-without-close_notify-or-ticket", NULL);
                    return;
                }
                c->t->unclean++;
            } else if (e != SSL_ERROR_ZERO_RETURN) { tls_fail(c, "confirm", r); return; }
            now = now_ns();
            conn_close(c);
            unit_done(c, now);
            next_unit(c, now_ns());
            if (c->st == S_TLS) continue;
            return;
        }

        case S_IDLE:
            /* readable while idle: the server closed or spoke out of turn */
            if (c->ssl) {
                uint8_t buf[64];
                ERR_clear_error(); errno = 0;
                r = SSL_read(c->ssl, buf, sizeof buf);
                e = SSL_get_error(c->ssl, r);
                if (r <= 0 && (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)) return;
                if (atomic_load(&phase) != STOP) {   /* rate mode: reopened when its turn comes */
                    if (r > 0) note_error("idle:unsolicited-data", NULL); else c->t->idle_closed++;
                }
                ERR_clear_error();
                conn_close(c);
            }
            return;
        default:
            return;
        }
    }
}

static void *worker(void *arg)
{
    struct thr *t = arg;
    struct epoll_event ev[256];
    uint64_t last_scan = now_ns(), stop_at = 0, step_ns = 0;
    int seen_measure = 0;
    if (C.rate > 0) {
        step_ns = (uint64_t)(1e9 * C.threads / C.rate);
        t->next_due = now_ns() + step_ns * (uint64_t)t->id / (uint64_t)C.threads;
        for (int i = t->n - 1; i >= 0; i--) t->idle[t->nidle++] = &t->c[i];
    } else {
        for (int i = 0; i < t->n; i++) { unit_begin(&t->c[i], now_ns()); drive(&t->c[i]); }
    }
    for (;;) {
        struct timespec to = { 0, 5000000 };
        uint64_t now;
        if (C.rate > 0 && t->nidle && atomic_load(&phase) != STOP) {
            now = now_ns();
            uint64_t d = t->next_due > now ? t->next_due - now : 0;
            if (d < 5000000) to.tv_nsec = (long)d;
        }
        int n = epoll_pwait2(t->ep, ev, 256, &to, NULL);
        for (int i = 0; i < n; i++) drive(ev[i].data.ptr);
        now = now_ns();
        int ph = atomic_load(&phase);
        if (C.rate > 0 && ph != STOP) {
            if (ph == MEASURE && !seen_measure) {
                seen_measure = 1;
                if (t->next_due < now) t->next_due = now;   /* do not carry warm-up's backlog over */
            }
            while (t->nidle && t->next_due <= now) {
                struct conn *c = t->idle[--t->nidle];
                if (now - t->next_due > 1000000) t->late_units++;
                unit_begin(c, t->next_due);
                t->next_due += step_ns;
                drive(c);
                if (!c->active && c->st != S_BACKOFF && C.count) break;
            }
        }
        if (now - last_scan > 5000000) {
            last_scan = now;
            for (int i = 0; i < t->n; i++) {
                struct conn *c = &t->c[i];
                if (c->st == S_BACKOFF && now >= c->deadline) {
                    c->st = S_OFF;
                    if (ph == STOP) c->st = S_PARKED;
                    else { next_unit(c, now); drive(c); }
                } else if (c->active && now >= c->deadline) {
                    char k[64];
                    snprintf(k, sizeof k, "timeout:%s", c->st == S_TLS ? "handshake" : c->st == S_CLOSE ? "confirm" : op_name[c->op]);
                    unit_fail(c, 1, k, NULL);
                }
            }
        }
        if (ph == STOP) {
            if (!stop_at) stop_at = now;
            if (!t->nactive || now - stop_at > DRAIN_NS) break;
        }
    }
    for (int i = 0; i < t->n; i++) {
        struct conn *c = &t->c[i];
        if (c->ssl && c->st == S_IDLE) { ERR_clear_error(); SSL_shutdown(c->ssl); ERR_clear_error(); }
        conn_close(c);
        if (c->sess) SSL_SESSION_free(c->sess);
        free(c->rbuf);
    }
    close(t->ep);
    return NULL;
}

/* ---- CPU accounting ---------------------------------------------------- */

struct cpu {
    double clock_s;      /* exact: process CPU clocks of the live tree + reaped children's ticks */
    double stat_s;       /* /proc/PID/stat utime+stime(+cutime+cstime), 10 ms ticks */
    double utime_s, stime_s;
    long procs, threads, rss_kb;
    double self_s;       /* this process */
    double busy_s, steal_s;   /* whole machine */
};

static void read_cpu(struct cpu *o)
{
    memset(o, 0, sizeof *o);
    double hz = (double)sysconf(_SC_CLK_TCK);
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    o->self_s = (double)ru.ru_utime.tv_sec + ru.ru_utime.tv_usec / 1e6 + (double)ru.ru_stime.tv_sec + ru.ru_stime.tv_usec / 1e6;
    FILE *f = fopen("/proc/stat", "r");
    if (f) {
        unsigned long long v[8] = { 0 };
        if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v+1, v+2, v+3, v+4, v+5, v+6, v+7) == 8) {
            o->busy_s = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / hz;
            o->steal_s = (double)v[7] / hz;
        }
        fclose(f);
    }
    if (!C.npids) return;
    struct pe { pid_t pid, ppid; double u, s, cu, cs; long thr, rss; int in; } *e = NULL;
    size_t n = 0, cap = 0;
    DIR *d = opendir("/proc");
    struct dirent *de;
    while (d && (de = readdir(d))) {
        if (!isdigit((unsigned char)de->d_name[0])) continue;
        char path[64], buf[1024];
        snprintf(path, sizeof path, "/proc/%.20s/stat", de->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        ssize_t k = read(fd, buf, sizeof buf - 1);
        close(fd);
        if (k <= 0) continue;
        buf[k] = 0;
        char *q = strrchr(buf, ')');
        if (!q) continue;
        int ppid; unsigned long ut, st; long cut, cst, nth, rss; unsigned long long start; unsigned long vs;
        if (sscanf(q + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %ld %*d %llu %lu %ld",
                   &ppid, &ut, &st, &cut, &cst, &nth, &start, &vs, &rss) != 9) continue;
        if (n == cap) { cap = cap ? cap * 2 : 256; e = realloc(e, cap * sizeof *e); if (!e) die("out of memory"); }
        e[n++] = (struct pe){ atoi(buf), ppid, (double)ut / hz, (double)st / hz, (double)cut / hz, (double)cst / hz,
                              nth, rss * (sysconf(_SC_PAGESIZE) / 1024), 0 };
    }
    if (d) closedir(d);
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < C.npids; j++) if (e[i].pid == C.pids[j]) e[i].in = 1;
    for (int again = 1; again;) {
        again = 0;
        for (size_t i = 0; i < n; i++) if (!e[i].in)
            for (size_t j = 0; j < n; j++) if (e[j].in && e[j].pid == e[i].ppid) { e[i].in = 1; again = 1; break; }
    }
    for (size_t i = 0; i < n; i++) {
        if (!e[i].in) continue;
        o->procs++; o->threads += e[i].thr; o->rss_kb += e[i].rss;
        o->utime_s += e[i].u + e[i].cu; o->stime_s += e[i].s + e[i].cs;
        clockid_t ck; struct timespec ts;
        if (!clock_getcpuclockid(e[i].pid, &ck) && !clock_gettime(ck, &ts))
            o->clock_s += (double)ts.tv_sec + ts.tv_nsec / 1e9;
        else o->clock_s += e[i].u + e[i].s;
        o->clock_s += e[i].cu + e[i].cs;
    }
    o->stat_s = o->utime_s + o->stime_s;
    free(e);
}

/* ---- set-up ------------------------------------------------------------ */

static void set_target(void)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)&target;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&target;
    if (!strcmp(C.host, "localhost")) C.host = "127.0.0.1";
    if (inet_pton(AF_INET, C.host, &a4->sin_addr) == 1) {
        if ((ntohl(a4->sin_addr.s_addr) >> 24) != 127) die("refusing %s: only loopback addresses are allowed", C.host);
        a4->sin_family = AF_INET; a4->sin_port = htons((uint16_t)C.port); target_len = sizeof *a4;
    } else if (inet_pton(AF_INET6, C.host, &a6->sin6_addr) == 1) {
        if (!IN6_IS_ADDR_LOOPBACK(&a6->sin6_addr)) die("refusing %s: only loopback addresses are allowed", C.host);
        a6->sin6_family = AF_INET6; a6->sin6_port = htons((uint16_t)C.port); target_len = sizeof *a6;
        if (C.src) die("--src needs an IPv4 target");
    } else die("refusing '%s': give a loopback address (127.0.0.0/8, ::1 or localhost)", C.host);
}

static void load_uids(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) die("%s: %s", path, strerror(errno));
    char line[1024]; size_t cap = 0;
    while (fgets(line, sizeof line, f)) {
        char *uid = strtok(line, " \t\r\n"), *sha = strtok(NULL, " \t\r\n"), *name = strtok(NULL, " \t\r\n");
        if (!uid || uid[0] == '#') continue;
        if (strlen(uid) > 255) die("uid too long in %s", path);
        if (NU == cap) { cap = cap ? cap * 2 : 256; U = realloc(U, cap * sizeof *U); if (!U) die("out of memory"); }
        struct uent *u = &U[NU++];
        memset(u, 0, sizeof *u);
        u->uid = strdup(uid);
        if (name && strcmp(name, "-")) u->name = strdup(name);
        if (sha && strcmp(sha, "-")) {
            if (strlen(sha) != 64) die("bad sha256 for %s in %s", uid, path);
            for (int i = 0; i < 32; i++) { unsigned b; if (sscanf(sha + 2 * i, "%2x", &b) != 1) die("bad sha256 for %s", uid); u->sha[i] = (uint8_t)b; }
            u->has_sha = 1;
        }
    }
    fclose(f);
    if (!NU) die("no UIDs in %s", path);
}

static enum op parse_op(const char *s)
{
    for (int i = O_CREATE; i < O_N; i++) if (!strcmp(s, op_name[i])) return (enum op)i;
    die("unknown operation '%s'", s);
}
static void parse_flow(const char *s)
{
    char *d = strdup(s), *sv = NULL;
    for (char *p = strtok_r(d, ",", &sv); p; p = strtok_r(NULL, ",", &sv)) {
        if (flow_n == MAX_STEPS) die("--flow has too many steps");
        flow_steps[flow_n++] = (uint8_t)parse_op(p);
    }
    free(d);
    if (!flow_n || flow_steps[0] != O_CREATE) die("--flow must start with create");
    for (int i = 0; i < flow_n; i++) if (flow_steps[i] == O_LOCATE) die("locate cannot be part of --flow");
}
static void parse_mix(const char *s)
{
    char *d = strdup(s), *sv = NULL; int sum = 0;
    memset(C.mix, 0, sizeof C.mix);
    for (char *p = strtok_r(d, ",", &sv); p; p = strtok_r(NULL, ",", &sv)) {
        char *eq = strchr(p, '=');
        if (!eq) die("--mix wants op=percent,...");
        *eq = 0;
        int v = atoi(eq + 1);
        if (v < 0 || v > 100) die("--mix: bad percent");
        enum op o = parse_op(p);
        if (o == O_ACTIVATE || o == O_REVOKE || o == O_DESTROY) die("--mix: put %s in --flow", p);
        C.mix[o] = v; sum += v;
    }
    free(d);
    if (sum != 100) die("--mix percentages must add up to 100");
}

static void make_ctx(void)
{
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) die("SSL_CTX_new");
    int lo = C.tls == 13 ? TLS1_3_VERSION : TLS1_2_VERSION, hi = C.tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(ctx, lo);
    SSL_CTX_set_max_proto_version(ctx, hi);
    if (C.ciphers && !SSL_CTX_set_cipher_list(ctx, C.ciphers)) die("bad --ciphers");
    if (C.groups && !SSL_CTX_set1_groups_list(ctx, C.groups)) die("bad --groups");
    if (!SSL_CTX_load_verify_locations(ctx, C.ca, NULL)) die("cannot read CA %s", C.ca);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (C.cert) {
        if (SSL_CTX_use_certificate_chain_file(ctx, C.cert) != 1) die("cannot read certificate %s", C.cert);
        if (SSL_CTX_use_PrivateKey_file(ctx, C.key, SSL_FILETYPE_PEM) != 1) die("cannot read key %s", C.key);
        if (SSL_CTX_check_private_key(ctx) != 1) die("certificate and key do not match");
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    /* the callback is wanted even without --resume: a TLS 1.3 ticket shows that the server took us */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
}

static void usage(FILE *f)
{
    fputs(
"usage: kmipload MODE --ca FILE --cert FILE --key FILE [options]\n"
"MODE: handshake | cold-get | get | create | locate | mix\n"
"  --host A --port P      target; loopback only (127.0.0.1, 5696)\n"
"  --ca F --cert F --key F   PEM files; leave out cert and key to test rejection\n"
"  --sni NAME             send SNI and check the server's name (else its IP is checked)\n"
"  --no-name-check        check the chain only\n"
"  --tls 1.2|1.3          only this version      --ciphers L  TLS 1.2 list  --groups L\n"
"  --resume               resume sessions        --no-confirm handshake: do not wait for the server's close\n"
"  -c, --connections N    (1)                    --threads N  (1)\n"
"  -d, --duration S       (5)                    -n, --count N  instead of a duration\n"
"  -w, --warmup S         (1)                    --timeout S  per unit (10)\n"
"  --accept-eof           handshake, TLS 1.3: take a bare end of stream for acceptance (it is no proof)\n"
"  --rate R               open loop: R units/s on a schedule, latency from the due time\n"
"  --src N                spread connections over source addresses 127.1.0.1..N\n"
"  --kmip 1.0..1.4        (1.4)                  --raw-format ask Get for Raw\n"
"  --discover             cold-get: Discover Versions before the Get, as vCenter does\n"
"  --uid U | --uid-file F lines: uid [sha256|-] [name|-];  --uid-order random|seq\n"
"  --uid-out F            append created: uid sha256 name\n"
"  --flow L               create[,activate][,get][,getattr][,revoke][,destroy]\n"
"  --name-prefix P        give created keys unique names    --x-attr x-N=V  custom attribute\n"
"  --attrs L              attributes for getattr\n"
"  --mix op=pct,...       (get=90,create=5,getattr=5; create runs --flow, default create,activate)\n"
"  --server-pid P[,P]     measure these processes' CPU, with all their children\n"
"  --max-errors N         stop after N errors (1000)\n"
"  --json F               write the result as JSON ('-': standard output)   --quiet\n", f);
}

static double num(const char *s, double lo, double hi, const char *what)
{
    char *e; double v = strtod(s, &e);
    if (*e || !(v >= lo && v <= hi)) die("%s must be %g..%g", what, lo, hi);
    return v;
}

enum { A_HOST = 256, A_PORT, A_CA, A_CERT, A_KEY, A_SNI, A_NONAME, A_TLS, A_CIPH, A_GROUPS, A_RESUME, A_NOCONF, A_EOF,
       A_THREADS, A_TIMEOUT, A_RATE, A_SRC, A_KMIP, A_RAW, A_UID, A_UIDF, A_UIDORD, A_UIDOUT, A_FLOW, A_NAME,
       A_XATTR, A_ATTRS, A_MIX, A_DISC, A_PID, A_MAXERR, A_JSON, A_QUIET, A_HELP };
static const struct option opts[] = {
    { "host", 1, 0, A_HOST }, { "port", 1, 0, A_PORT }, { "ca", 1, 0, A_CA }, { "cert", 1, 0, A_CERT },
    { "key", 1, 0, A_KEY }, { "sni", 1, 0, A_SNI }, { "no-name-check", 0, 0, A_NONAME }, { "tls", 1, 0, A_TLS },
    { "ciphers", 1, 0, A_CIPH }, { "groups", 1, 0, A_GROUPS }, { "resume", 0, 0, A_RESUME },
    { "no-confirm", 0, 0, A_NOCONF }, { "accept-eof", 0, 0, A_EOF }, { "connections", 1, 0, 'c' }, { "threads", 1, 0, A_THREADS },
    { "duration", 1, 0, 'd' }, { "count", 1, 0, 'n' }, { "warmup", 1, 0, 'w' }, { "timeout", 1, 0, A_TIMEOUT },
    { "rate", 1, 0, A_RATE }, { "src", 1, 0, A_SRC }, { "kmip", 1, 0, A_KMIP }, { "raw-format", 0, 0, A_RAW },
    { "uid", 1, 0, A_UID }, { "uid-file", 1, 0, A_UIDF }, { "uid-order", 1, 0, A_UIDORD },
    { "uid-out", 1, 0, A_UIDOUT }, { "flow", 1, 0, A_FLOW }, { "name-prefix", 1, 0, A_NAME },
    { "x-attr", 1, 0, A_XATTR }, { "attrs", 1, 0, A_ATTRS }, { "mix", 1, 0, A_MIX }, { "discover", 0, 0, A_DISC }, { "server-pid", 1, 0, A_PID },
    { "max-errors", 1, 0, A_MAXERR }, { "json", 1, 0, A_JSON }, { "quiet", 0, 0, A_QUIET },
    { "help", 0, 0, A_HELP }, { 0, 0, 0, 0 } };

static void parse_args(int argc, char **argv)
{
    if (argc < 2) { usage(stderr); exit(1); }
    if (!strcmp(argv[1], "--help")) { usage(stdout); exit(0); }
    int m, o;
    for (m = 0; m < M_NMODES; m++) if (!strcmp(argv[1], mode_name[m])) break;
    if (m == M_NMODES) die("unknown mode '%s'", argv[1]);
    C.mode = (enum mode)m;
    optind = 2;
    const char *mix = "get=90,create=5,getattr=5";
    while ((o = getopt_long(argc, argv, "c:d:n:w:", opts, NULL)) != -1) switch (o) {
    case A_HOST: C.host = optarg; break;
    case A_PORT: C.port = (int)num(optarg, 1, 65535, "--port"); break;
    case A_CA: C.ca = optarg; break;
    case A_CERT: C.cert = optarg; break;
    case A_KEY: C.key = optarg; break;
    case A_SNI: C.sni = optarg; break;
    case A_NONAME: C.no_name_check = 1; break;
    case A_TLS: if (!strcmp(optarg, "1.2")) C.tls = 12; else if (!strcmp(optarg, "1.3")) C.tls = 13; else die("--tls must be 1.2 or 1.3"); break;
    case A_CIPH: C.ciphers = optarg; break;
    case A_GROUPS: C.groups = optarg; break;
    case A_RESUME: C.resume = 1; break;
    case A_NOCONF: C.confirm = 0; break;
    case A_EOF: C.accept_eof = 1; break;
    case 'c': C.conns = (int)num(optarg, 1, MAX_CONNS, "--connections"); break;
    case A_THREADS: C.threads = (int)num(optarg, 1, MAX_THREADS, "--threads"); break;
    case 'd': C.duration = num(optarg, 0.05, MAX_DURATION, "--duration"); break;
    case 'n': C.count = (long)num(optarg, 1, MAX_COUNT, "--count"); break;
    case 'w': C.warmup = num(optarg, 0, MAX_WARMUP, "--warmup"); break;
    case A_TIMEOUT: C.timeout = num(optarg, 0.01, 120, "--timeout"); break;
    case A_RATE: C.rate = num(optarg, 0.1, 1e6, "--rate"); break;
    case A_SRC: C.src = (int)num(optarg, 1, 250, "--src"); break;
    case A_KMIP: if (sscanf(optarg, "%d.%d", &C.kmaj, &C.kmin) != 2 || C.kmaj != 1 || C.kmin < 0 || C.kmin > 4) die("--kmip must be 1.0..1.4"); break;
    case A_RAW: C.raw_format = 1; break;
    case A_UID: U = calloc(1, sizeof *U); if (!U) die("out of memory"); U->uid = optarg; NU = 1; break;
    case A_UIDF: C.uid_file = optarg; break;
    case A_UIDORD: if (!strcmp(optarg, "seq")) C.uid_seq = 1; else if (strcmp(optarg, "random")) die("--uid-order is random or seq"); break;
    case A_UIDOUT: C.uid_out = optarg; break;
    case A_FLOW: C.flow = optarg; break;
    case A_NAME: C.name_prefix = optarg; if (strlen(optarg) > 48) die("--name-prefix is too long"); break;
    case A_XATTR: if (C.nxattr == 8 || !strchr(optarg, '=') || strlen(optarg) > 200) die("bad --x-attr"); C.xattr[C.nxattr++] = optarg; break;
    case A_ATTRS: C.attrs = optarg; break;
    case A_MIX: mix = optarg; break;
    case A_DISC: C.discover = 1; break;
    case A_PID: {
        char *d = strdup(optarg), *sv = NULL;
        for (char *p = strtok_r(d, ",", &sv); p; p = strtok_r(NULL, ",", &sv)) {
            if (C.npids == 16) die("too many --server-pid");
            C.pids[C.npids] = (pid_t)num(p, 2, 1e9, "--server-pid");
            if (kill(C.pids[C.npids], 0) && errno == ESRCH) die("--server-pid %s: no such process", p);
            C.npids++;
        }
        free(d);
        break;
    }
    case A_MAXERR: C.max_errors = (long)num(optarg, 1, 1e9, "--max-errors"); break;
    case A_JSON: C.json = optarg; break;
    case A_QUIET: C.quiet = 1; break;
    case A_HELP: usage(stdout); exit(0);
    default: usage(stderr); exit(1);
    }
    if (optind != argc) die("unexpected argument '%s'", argv[optind]);
    set_target();
    if (!C.ca) die("--ca is required");
    if (!C.cert != !C.key) die("--cert and --key go together");
    if (C.threads > C.conns) C.threads = C.conns;
    if (C.discover && C.mode != M_COLD_GET) die("--discover goes with cold-get");
    if (C.uid_file) { if (NU) die("--uid or --uid-file, not both"); load_uids(C.uid_file); }
    if ((C.mode == M_GET || C.mode == M_COLD_GET) && !NU) die("this mode needs --uid or --uid-file");
    parse_flow(C.flow ? C.flow : C.mode == M_MIX ? "create,activate" : "create");
    if (C.mode == M_MIX) { parse_mix(mix); if ((C.mix[O_GET] || C.mix[O_GETATTR]) && !NU) die("this mix needs --uid-file"); }
    char *sv = NULL;
    d_attrs = strdup(C.attrs);
    for (char *p = strtok_r(d_attrs, ",", &sv); p; p = strtok_r(NULL, ",", &sv)) { if (nattr == 16) die("too many --attrs"); attr_list[nattr++] = p; }
}

static void json_str(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        unsigned char ch = (unsigned char)*s;
        if (ch == '"' || ch == '\\') fprintf(f, "\\%c", ch);
        else if (ch < 0x20 || ch > 0x7e) fprintf(f, "\\u%04x", ch);
        else fputc(ch, f);
    }
    fputc('"', f);
}

int main(int argc, char **argv)
{
    parse_args(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    /* whatever happens, end */
    alarm((unsigned)(C.warmup + (C.count ? MAX_DURATION : C.duration) + 20));
    struct rlimit rl;
    if (!getrlimit(RLIMIT_NOFILE, &rl) && rl.rlim_cur < rl.rlim_max) { rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl); }
    make_ctx();
    if (C.uid_out) {
        uid_out_f = fopen(C.uid_out, "a");
        if (!uid_out_f) die("%s: %s", C.uid_out, strerror(errno));
        setlinebuf(uid_out_f);
    }
    struct thr *T = calloc((size_t)C.threads, sizeof *T);
    struct conn *K = calloc((size_t)C.conns, sizeof *K);
    if (!T || !K) die("out of memory");
    int at = 0;
    for (int i = 0; i < C.threads; i++) {
        struct thr *t = &T[i];
        t->id = i;
        t->n = C.conns / C.threads + (i < C.conns % C.threads);
        t->c = K + at;
        t->idle = calloc((size_t)t->n + 1, sizeof *t->idle);
        t->rng = 0x9E3779B97F4A7C15ull * (uint64_t)(i + 1) ^ now_ns();
        if (!t->rng) t->rng = 1;
        t->ep = epoll_create1(EPOLL_CLOEXEC);
        for (int j = 0; j < t->n; j++) { t->c[j].t = t; t->c[j].fd = -1; t->c[j].id = at + j; }
        at += t->n;
    }
    if (C.warmup == 0) atomic_store(&phase, MEASURE);
    struct cpu a, b;
    uint64_t t0 = 0, t1;
    if (C.warmup == 0) { read_cpu(&a); t0 = now_ns(); }
    for (int i = 0; i < C.threads; i++)
        if (pthread_create(&T[i].th, NULL, worker, &T[i])) die("pthread_create");
    struct timespec ms = { 0, 1000000 };
    if (C.warmup > 0) {
        uint64_t end = now_ns() + (uint64_t)(C.warmup * 1e9);
        while (now_ns() < end && atomic_load(&phase) == WARM) nanosleep(&ms, NULL);
        read_cpu(&a);
        t0 = now_ns();
        int w = WARM;
        atomic_compare_exchange_strong(&phase, &w, MEASURE);
    }
    uint64_t end = t0 + (uint64_t)((C.count ? MAX_DURATION : C.duration) * 1e9);
    for (;;) {
        uint64_t n = now_ns();
        if (n >= end || atomic_load(&phase) == STOP) break;
        if (C.count && atomic_load(&done_units) >= C.count) break;
        struct timespec w = ms;
        if (end - n < 1000000) w.tv_nsec = (long)(end - n);
        nanosleep(&w, NULL);
    }
    t1 = now_ns();
    atomic_store(&phase, STOP);
    read_cpu(&b);
    for (int i = 0; i < C.threads; i++) pthread_join(T[i].th, NULL);

    static struct hist H[O_N];
    uint64_t units = 0, reqs = 0, connects = 0, resumed = 0, unclean = 0, idlec = 0, last = 0, late = 0;
    for (int i = 0; i < C.threads; i++) {
        for (int k = 0; k < O_N; k++) h_merge(&H[k], &T[i].h[k]);
        units += T[i].units; reqs += T[i].reqs; connects += T[i].connects; resumed += T[i].resumed; unclean += T[i].unclean; idlec += T[i].idle_closed;
        late += T[i].late_units;
        if (T[i].last_done > last) last = T[i].last_done;
    }
    if (C.count && last > t0) t1 = last;
    double el = (double)(t1 - t0) / 1e9, cli = b.self_s - a.self_s;
    double srv = b.clock_s - a.clock_s, stat = b.stat_s - a.stat_s;
    double busy = b.busy_s - a.busy_s, other = busy - cli - srv;
    long nerr = 0, werr = 0;
    for (int i = 0; i < 64; i++) { if (!strncmp(errs[i].key, "warmup:", 7)) werr += errs[i].n; else nerr += errs[i].n; }
    double per1k = units ? 1000.0 / (double)units : 0;

    FILE *f = NULL;
    if (C.json) { f = strcmp(C.json, "-") ? fopen(C.json, "w") : stdout; if (!f) die("%s: %s", C.json, strerror(errno)); }
    if (f) {
        fprintf(f, "{\"tool\":\"kmipload\",\"mode\":\"%s\",\"host\":\"%s\",\"port\":%d,\"tls\":\"%s\",\"kmip\":\"%d.%d\","
                "\"connections\":%d,\"threads\":%d,\"rate\":%g,\"resume\":%s,\"warmup_s\":%g,\"elapsed_s\":%.6f,",
                mode_name[C.mode], C.host, C.port, C.tls == 12 ? "1.2" : C.tls == 13 ? "1.3" : "any", C.kmaj, C.kmin,
                C.conns, C.threads, C.rate, C.resume ? "true" : "false", C.warmup, el);
        fprintf(f, "\"units\":%lu,\"units_per_s\":%.3f,\"requests\":%lu,\"requests_per_s\":%.3f,\"connects\":%lu,\"resumed\":%lu,"
                "\"unclean_close\":%lu,\"idle_closed\":%lu,\"late_units\":%lu,\"aborted\":%s,",
                units, (double)units / el, reqs, (double)reqs / el, connects, resumed, unclean, idlec, late, atomic_load(&aborted) ? "true" : "false");
        fputs("\"latency_us\":{", f);
        int first = 1;
        for (int k = 0; k < O_N; k++) if (H[k].n) {
            fprintf(f, "%s\"%s\":{\"count\":%lu,\"mean\":%.1f,\"min\":%.1f,\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
                    first ? "" : ",", op_name[k], H[k].n, (double)H[k].sum / (double)H[k].n / 1e3, (double)H[k].min / 1e3,
                    h_pct(&H[k], 50), h_pct(&H[k], 95), h_pct(&H[k], 99), h_pct(&H[k], 99.9), (double)H[k].max / 1e3);
            first = 0;
        }
        fprintf(f, "},\"errors_total\":%ld,\"warmup_errors\":%ld,\"errors\":{", nerr, werr);
        first = 1;
        for (int i = 0; i < 64; i++) if (errs[i].n) { if (!first) fputc(',', f); first = 0; json_str(f, errs[i].key); fprintf(f, ":%ld", errs[i].n); }
        fputs("},\"error_sample\":", f);
        json_str(f, err_sample);
        fprintf(f, ",\"client_cpu_s\":%.4f,\"client_cpu_s_per_1000\":%.5f", cli, cli * per1k);
        if (C.npids)
            fprintf(f, ",\"server\":{\"cpu_s\":%.4f,\"cpu_s_per_1000\":%.5f,\"stat_cpu_s\":%.2f,\"utime_s\":%.2f,\"stime_s\":%.2f,"
                    "\"procs\":%ld,\"threads\":%ld,\"rss_kb\":%ld}", srv, srv * per1k, stat, b.utime_s - a.utime_s, b.stime_s - a.stime_s,
                    b.procs, b.threads, b.rss_kb);
        fprintf(f, ",\"machine\":{\"cpus\":%ld,\"busy_s\":%.2f,\"other_cpu_s\":%.2f,\"steal_s\":%.2f}}\n",
                sysconf(_SC_NPROCESSORS_ONLN), busy, C.npids ? other : 0.0, b.steal_s - a.steal_s);
        if (f != stdout) fclose(f);
    }
    if (!C.quiet) {
        fprintf(stderr, "%s: %lu units in %.2f s = %.1f/s (%lu requests, %.1f/s), %lu connects (%lu resumed), errors %ld%s\n",
                mode_name[C.mode], units, el, (double)units / el, reqs, (double)reqs / el, connects, resumed, nerr,
                atomic_load(&aborted) ? " ABORTED" : "");
        for (int k = 0; k < O_N; k++) if (H[k].n)
            fprintf(stderr, "  %-9s n=%-8lu p50 %.0f  p95 %.0f  p99 %.0f  max %.0f us\n", op_name[k], H[k].n,
                    h_pct(&H[k], 50), h_pct(&H[k], 95), h_pct(&H[k], 99), (double)H[k].max / 1e3);
        if (C.npids) fprintf(stderr, "  cpu per 1000 units: server %.4f s, client %.4f s; others used %.2f s of %.2f busy\n",
                             srv * per1k, cli * per1k, other, busy);
        for (int i = 0; i < 64; i++) if (errs[i].n) fprintf(stderr, "  error %-60s %ld\n", errs[i].key, errs[i].n);
        if (err_sample[0]) fprintf(stderr, "  first: %s\n", err_sample);
    }
    if (uid_out_f) fclose(uid_out_f);
    for (int i = 0; i < C.threads; i++) free(T[i].idle);
    free(T);
    free(K);
    free(d_attrs);
    for (size_t i = 0; C.uid_file && i < NU; i++) { free(U[i].uid); free(U[i].name); }
    free(U);
    SSL_CTX_free(ctx);
    return nerr || werr || !units ? 2 : 0;
}
