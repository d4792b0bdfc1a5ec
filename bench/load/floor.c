/*
 * floor - the physical floor: the least a mutual-TLS KMIP server can do here.
 *
 * C, OpenSSL, one epoll loop per worker thread, SO_REUSEPORT.  It answers any
 * Get with a fixed, valid response (the request's UID, the key 00 01 .. 1f), and
 * Create, Activate, Get Attributes, Locate, Revoke, Destroy and Discover Versions with
 * fixed valid answers.  It keeps no keys.  --sync-file makes each Create append a record and
 * fdatasync it first: the floor for a durable Create.
 *
 * It is a measuring stick, not a key server: every key it hands out is the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "ttlv.h"

#define MAX_REQ 65536

static const char *host = "127.0.0.1", *ca;
static int port = 5696, workers = 1, tls = 0, max_seconds = 3600, fail_every, corrupt_every;
static int sync_fd = -1;
static SSL_CTX *ctx;
static _Atomic unsigned long next_uid = 1, served;

struct cn { int fd; SSL *ssl; int up; uint32_t ev; size_t rlen, wlen, woff; uint8_t r[4096], w[4096]; };

static void want(int ep, struct cn *c, uint32_t ev)
{
    if (c->ev == ev) return;
    struct epoll_event e = { .events = ev, .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->ev = ev;
}
static void drop(struct cn *c)
{
    ERR_clear_error();
    if (c->up) SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
}

/* 1: an answer is in c->w; 0: not one we understand */
static int answer(struct cn *c, const uint8_t *msg, size_t n)
{
    struct tl m, h, v, maj, min, b, op, pay, uid = { 0, 0, 1, (const uint8_t *)"1" }, t;
    const uint8_t *p = msg;
    if (tt_next(&p, msg + n, &m) != 1 || m.tag != TAG_REQ_MESSAGE) return 0;
    if (tt_find(&m, TAG_REQ_HEADER, TT_STRUCT, &h) != 1 || tt_find(&h, TAG_PROTO, TT_STRUCT, &v) != 1) return 0;
    if (tt_find(&v, TAG_PROTO_MAJOR, TT_INT, &maj) != 1 || tt_find(&v, TAG_PROTO_MINOR, TT_INT, &min) != 1) return 0;
    if (tt_find(&m, TAG_BATCH_ITEM, TT_STRUCT, &b) != 1 || tt_find(&b, TAG_OPERATION, TT_ENUM, &op) != 1) return 0;
    if (tt_find(&b, TAG_REQ_PAYLOAD, TT_STRUCT, &pay) != 1) return 0;
    uint32_t o = rd32(op.v);
    if (tt_find(&pay, TAG_UNIQUE_ID, TT_TEXT, &t) == 1) uid = t;
    unsigned long k = atomic_fetch_add(&served, 1) + 1;
    int fail = fail_every && k % (unsigned long)fail_every == 0;
    int corrupt = corrupt_every && k % (unsigned long)corrupt_every == 0;
    char nu[24];
    if (o == KOP_CREATE) {
        int l = snprintf(nu, sizeof nu, "%lu", atomic_fetch_add(&next_uid, 1));
        uid.v = (uint8_t *)nu; uid.len = (uint32_t)l;
        if (sync_fd >= 0) {
            char rec[160];
            memset(rec, 'x', sizeof rec);
            memcpy(rec, nu, (size_t)l);
            if (write(sync_fd, rec, sizeof rec) != sizeof rec || fdatasync(sync_fd)) fail = 1;
        }
    }
    struct wb w = { c->w, 0, sizeof c->w, 0 };
    size_t a = tt_open(&w, TAG_RSP_MESSAGE), x = tt_open(&w, TAG_RSP_HEADER), y = tt_open(&w, TAG_PROTO), z, q;
    tt_i32(&w, TAG_PROTO_MAJOR, TT_INT, rd32(maj.v));
    tt_i32(&w, TAG_PROTO_MINOR, TT_INT, rd32(min.v));
    tt_close(&w, y);
    tt_i64(&w, TAG_TIMESTAMP, TT_DATE, (uint64_t)time(NULL));
    tt_i32(&w, TAG_BATCH_COUNT, TT_INT, 1);
    tt_close(&w, x);
    x = tt_open(&w, TAG_BATCH_ITEM);
    tt_i32(&w, TAG_OPERATION, TT_ENUM, o);
    tt_i32(&w, TAG_RESULT_STATUS, TT_ENUM, fail ? 1 : 0);
    if (fail) {
        tt_i32(&w, TAG_RESULT_REASON, TT_ENUM, 1);
        tt_text(&w, TAG_RESULT_MSG, "Injected: item not found.");
    } else {
        y = tt_open(&w, TAG_RSP_PAYLOAD);
        if (o == KOP_GET || o == KOP_CREATE) tt_i32(&w, TAG_OBJECT_TYPE, TT_ENUM, 2);
        if (o == KOP_DISCOVER) {
            for (uint32_t i = 5; i-- > 0;) {
                z = tt_open(&w, TAG_PROTO);
                tt_i32(&w, TAG_PROTO_MAJOR, TT_INT, 1);
                tt_i32(&w, TAG_PROTO_MINOR, TT_INT, i);
                tt_close(&w, z);
            }
        } else tt_raw(&w, TAG_UNIQUE_ID, TT_TEXT, uid.v, uid.len);
        if (o == KOP_GET) {
            uint8_t key[32];
            for (int i = 0; i < 32; i++) key[i] = (uint8_t)i;
            z = tt_open(&w, TAG_SYMKEY);
            q = tt_open(&w, TAG_KEY_BLOCK);
            tt_i32(&w, TAG_KEY_FORMAT, TT_ENUM, 1);
            size_t kv = tt_open(&w, TAG_KEY_VALUE);
            tt_raw(&w, TAG_KEY_MATERIAL, TT_BYTES, key, corrupt ? 16 : 32);
            tt_close(&w, kv);
            tt_i32(&w, TAG_CRYPTO_ALG, TT_ENUM, 3);
            tt_i32(&w, TAG_CRYPTO_LEN, TT_INT, 256);
            tt_close(&w, q);
            tt_close(&w, z);
        } else if (o == KOP_GETATTR) {
            static const struct { const char *n; int t; uint32_t v; } at[] = {
                { "State", TT_ENUM, 2 }, { "Cryptographic Algorithm", TT_ENUM, 3 }, { "Cryptographic Length", TT_INT, 256 } };
            for (int i = 0; i < 3; i++) {
                z = tt_open(&w, TAG_ATTRIBUTE);
                tt_text(&w, TAG_ATTR_NAME, at[i].n);
                tt_i32(&w, TAG_ATTR_VALUE, at[i].t, at[i].v);
                tt_close(&w, z);
            }
        }
        tt_close(&w, y);
    }
    tt_close(&w, x);
    tt_close(&w, a);
    c->wlen = w.n; c->woff = 0;
    return !w.overflow;
}

static void serve(int ep, struct cn *c)
{
    for (;;) {
        int r, e;
        ERR_clear_error();
        if (!c->up) {
            r = SSL_accept(c->ssl);
            if (r == 1) { c->up = 1; want(ep, c, EPOLLIN); continue; }
        } else if (c->woff < c->wlen) {
            r = SSL_write(c->ssl, c->w + c->woff, (int)(c->wlen - c->woff));
            if (r > 0) { c->woff += (size_t)r; if (c->woff == c->wlen) { want(ep, c, EPOLLIN); c->woff = c->wlen = 0; if (!SSL_has_pending(c->ssl)) return; } continue; }
        } else {
            if (c->rlen == sizeof c->r) { drop(c); return; }
            r = SSL_read(c->ssl, c->r + c->rlen, (int)(sizeof c->r - c->rlen));
            if (r > 0) {
                c->rlen += (size_t)r;
                if (c->rlen < 8) continue;
                size_t n = 8 + (size_t)rd32(c->r + 4);
                if (n > sizeof c->r) { drop(c); return; }
                if (c->rlen < n) continue;
                if (c->rlen > n || !answer(c, c->r, n)) { drop(c); return; }
                c->rlen = 0;
                continue;
            }
        }
        e = SSL_get_error(c->ssl, r);
        if (e == SSL_ERROR_WANT_READ) { want(ep, c, EPOLLIN); return; }
        if (e == SSL_ERROR_WANT_WRITE) { want(ep, c, EPOLLOUT); return; }
        drop(c);
        return;
    }
}

static void *worker(void *arg)
{
    (void)arg;
    int one = 1, ep = epoll_create1(EPOLL_CLOEXEC), l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, host, &a.sin_addr);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(l, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(l, (struct sockaddr *)&a, sizeof a) || listen(l, 1024)) { perror("floor: bind"); exit(1); }
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL }, ev[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr) { serve(ep, ev[i].data.ptr); continue; }
            for (int k = 0; k < 64; k++) {
                int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) break;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct cn *c = malloc(sizeof *c);
                if (!c) { close(fd); break; }
                memset(c, 0, offsetof(struct cn, r));
                c->fd = fd;
                c->ssl = SSL_new(ctx);
                SSL_set_fd(c->ssl, fd);
                SSL_set_accept_state(c->ssl);
                struct epoll_event x = { .events = EPOLLIN, .data.ptr = c };
                c->ev = EPOLLIN;
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &x);
                serve(ep, c);
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option o[] = {
        { "host", 1, 0, 'h' }, { "port", 1, 0, 'p' }, { "ca", 1, 0, 'a' }, { "cert", 1, 0, 'c' }, { "key", 1, 0, 'k' },
        { "workers", 1, 0, 'w' }, { "tls", 1, 0, 't' }, { "tickets", 1, 0, 'n' }, { "sync-file", 1, 0, 's' },
        { "max-seconds", 1, 0, 'm' }, { "fail-every", 1, 0, 'f' }, { "corrupt-every", 1, 0, 'x' }, { 0, 0, 0, 0 } };
    const char *cert[4], *key[4]; int nc = 0, nk = 0, tickets = -1, r;
    while ((r = getopt_long(argc, argv, "", o, NULL)) != -1) switch (r) {
    case 'h': host = optarg; break;
    case 'p': port = atoi(optarg); break;
    case 'a': ca = optarg; break;
    case 'c': if (nc < 4) cert[nc++] = optarg; break;
    case 'k': if (nk < 4) key[nk++] = optarg; break;
    case 'w': workers = atoi(optarg); break;
    case 't': tls = !strcmp(optarg, "1.2") ? 12 : !strcmp(optarg, "1.3") ? 13 : 0; break;
    case 'n': tickets = atoi(optarg); break;
    case 's': sync_fd = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); if (sync_fd < 0) { perror(optarg); return 1; } break;
    case 'm': max_seconds = atoi(optarg); break;
    case 'f': fail_every = atoi(optarg); break;
    case 'x': corrupt_every = atoi(optarg); break;
    default:
        fprintf(stderr, "usage: floor --ca F --cert F --key F [--cert F --key F] [--host 127.x] [--port N] [--workers N]\n"
                "  [--tls 1.2|1.3] [--tickets N] [--sync-file F] [--max-seconds N] [--fail-every N] [--corrupt-every N]\n");
        return 1;
    }
    struct in_addr ia;
    if (inet_pton(AF_INET, host, &ia) != 1 || (ntohl(ia.s_addr) >> 24) != 127) { fprintf(stderr, "floor: loopback only\n"); return 1; }
    if (!ca || !nc || nc != nk || workers < 1 || workers > 64) { fprintf(stderr, "floor: --ca, --cert, --key are required\n"); return 1; }
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)max_seconds);
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(ctx, tls == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    for (int i = 0; i < nc; i++)
        if (SSL_CTX_use_certificate_chain_file(ctx, cert[i]) != 1 || SSL_CTX_use_PrivateKey_file(ctx, key[i], SSL_FILETYPE_PEM) != 1) {
            ERR_print_errors_fp(stderr);
            return 1;
        }
    if (!SSL_CTX_load_verify_locations(ctx, ca, NULL)) { fprintf(stderr, "floor: cannot read %s\n", ca); return 1; }
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(ca));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"floor", 5);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (tickets >= 0) {
        SSL_CTX_set_num_tickets(ctx, (size_t)tickets);
        if (!tickets) { SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); }
    }
    pthread_t t[64];
    for (int i = 1; i < workers; i++) pthread_create(&t[i], NULL, worker, NULL);
    worker(NULL);
    return 0;
}
