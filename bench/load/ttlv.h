/*
 * ttlv.h - the small part of KMIP's TTLV encoding that the load generator and
 * the floor server need.  Header-only; nothing here allocates.
 *
 * KMIP item:  3-byte tag, 1-byte type, 4-byte length, value, zero padding to 8.
 */
#ifndef TTLV_H
#define TTLV_H

#include <stdint.h>
#include <stddef.h>
#include <string.h>

enum {
    TT_STRUCT = 1, TT_INT = 2, TT_LONG = 3, TT_BIGINT = 4, TT_ENUM = 5,
    TT_BOOL = 6, TT_TEXT = 7, TT_BYTES = 8, TT_DATE = 9, TT_INTERVAL = 10,
    TT_DATEX = 11
};

enum {
    TAG_ATTRIBUTE = 0x420008, TAG_ATTR_NAME = 0x42000A, TAG_ATTR_VALUE = 0x42000B,
    TAG_BATCH_COUNT = 0x42000D, TAG_BATCH_ITEM = 0x42000F,
    TAG_CRYPTO_ALG = 0x420028, TAG_CRYPTO_LEN = 0x42002A,
    TAG_KEY_BLOCK = 0x420040, TAG_KEY_FORMAT = 0x420042,
    TAG_KEY_MATERIAL = 0x420043, TAG_KEY_VALUE = 0x420045,
    TAG_MAX_ITEMS = 0x42004F, TAG_NAME_TYPE = 0x420054, TAG_NAME_VALUE = 0x420055,
    TAG_OBJECT_TYPE = 0x420057, TAG_OPERATION = 0x42005C,
    TAG_PROTO = 0x420069, TAG_PROTO_MAJOR = 0x42006A, TAG_PROTO_MINOR = 0x42006B,
    TAG_REQ_HEADER = 0x420077, TAG_REQ_MESSAGE = 0x420078, TAG_REQ_PAYLOAD = 0x420079,
    TAG_RSP_HEADER = 0x42007A, TAG_RSP_MESSAGE = 0x42007B, TAG_RSP_PAYLOAD = 0x42007C,
    TAG_RESULT_MSG = 0x42007D, TAG_RESULT_REASON = 0x42007E, TAG_RESULT_STATUS = 0x42007F,
    TAG_REVOKE_REASON = 0x420081, TAG_REVOKE_CODE = 0x420082,
    TAG_SYMKEY = 0x42008F, TAG_TEMPLATE = 0x420091, TAG_TIMESTAMP = 0x420092,
    TAG_UNIQUE_ID = 0x420094
};

enum {
    KOP_CREATE = 0x01, KOP_LOCATE = 0x08, KOP_GET = 0x0A, KOP_GETATTR = 0x0B,
    KOP_ACTIVATE = 0x12, KOP_REVOKE = 0x13, KOP_DESTROY = 0x14, KOP_QUERY = 0x18,
    KOP_DISCOVER = 0x1E
};

/* ---- writing ---------------------------------------------------------- */

struct wb { uint8_t *p; size_t n, cap; int overflow; };

static inline uint8_t *wb_take(struct wb *w, size_t n)
{
    if (w->overflow || w->n + n > w->cap) { w->overflow = 1; return NULL; }
    uint8_t *q = w->p + w->n;
    w->n += n;
    return q;
}
static inline void be32(uint8_t *q, uint32_t v)
{
    q[0] = (uint8_t)(v >> 24); q[1] = (uint8_t)(v >> 16);
    q[2] = (uint8_t)(v >> 8);  q[3] = (uint8_t)v;
}
static inline uint32_t rd32(const uint8_t *q)
{
    return ((uint32_t)q[0] << 24) | ((uint32_t)q[1] << 16) |
           ((uint32_t)q[2] << 8) | q[3];
}
static inline uint8_t *tt_item(struct wb *w, uint32_t tag, int type, uint32_t len)
{
    size_t pad = (8 - (len & 7)) & 7;
    uint8_t *q = wb_take(w, 8 + (size_t)len + pad);
    if (!q) return NULL;
    q[0] = (uint8_t)(tag >> 16); q[1] = (uint8_t)(tag >> 8); q[2] = (uint8_t)tag;
    q[3] = (uint8_t)type;
    be32(q + 4, len);
    memset(q + 8 + len, 0, pad);
    return q + 8;
}
static inline void tt_i32(struct wb *w, uint32_t tag, int type, uint32_t v)
{
    uint8_t *q = tt_item(w, tag, type, 4);
    if (q) be32(q, v);
}
static inline void tt_i64(struct wb *w, uint32_t tag, int type, uint64_t v)
{
    uint8_t *q = tt_item(w, tag, type, 8);
    if (q) { be32(q, (uint32_t)(v >> 32)); be32(q + 4, (uint32_t)v); }
}
static inline void tt_raw(struct wb *w, uint32_t tag, int type, const void *p, size_t n)
{
    uint8_t *q = tt_item(w, tag, type, (uint32_t)n);
    if (q && n) memcpy(q, p, n);
}
static inline void tt_text(struct wb *w, uint32_t tag, const char *s)
{
    tt_raw(w, tag, TT_TEXT, s, strlen(s));
}
static inline size_t tt_open(struct wb *w, uint32_t tag)
{
    size_t at = w->n;
    tt_item(w, tag, TT_STRUCT, 0);
    return at;
}
static inline void tt_close(struct wb *w, size_t at)
{
    if (!w->overflow) be32(w->p + at + 4, (uint32_t)(w->n - at - 8));
}

/* ---- reading (strict) ------------------------------------------------- */

struct tl { uint32_t tag; int type; uint32_t len; const uint8_t *v; };

/* 1: an item was read and *pp moved past it; 0: clean end; -1: malformed. */
static inline int tt_next(const uint8_t **pp, const uint8_t *end, struct tl *t)
{
    const uint8_t *p = *pp;
    if (p == end) return 0;
    if ((size_t)(end - p) < 8) return -1;
    t->tag = ((uint32_t)p[0] << 16) | ((uint32_t)p[1] << 8) | p[2];
    t->type = p[3];
    t->len = rd32(p + 4);
    t->v = p + 8;
    size_t pad = (8 - (t->len & 7)) & 7;
    if ((size_t)(end - t->v) < (size_t)t->len + pad) return -1;
    switch (t->type) {
    case TT_INT: case TT_ENUM: case TT_INTERVAL: if (t->len != 4) return -1; break;
    case TT_LONG: case TT_BOOL: case TT_DATE: case TT_DATEX: if (t->len != 8) return -1; break;
    case TT_STRUCT: case TT_BIGINT: if (t->len & 7) return -1; break;
    case TT_TEXT: case TT_BYTES: break;
    default: return -1;
    }
    for (size_t i = 0; i < pad; i++) if (t->v[t->len + i]) return -1;
    *pp = t->v + t->len + pad;
    return 1;
}
/* First child of a structure with this tag and type: 1 found, 0 not, -1 malformed. */
static inline int tt_find(const struct tl *s, uint32_t tag, int type, struct tl *out)
{
    const uint8_t *p = s->v, *end = s->v + s->len;
    int r;
    while ((r = tt_next(&p, end, out)) == 1)
        if (out->tag == tag) return out->type == type ? 1 : -1;
    return r;
}
static inline int tl_is(const struct tl *t, const char *s)
{
    return t->len == strlen(s) && memcmp(t->v, s, t->len) == 0;
}

#endif
