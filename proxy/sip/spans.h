/* The scanners' long loops. Sixteen bytes at a time with SSE2, which every x86-64 has; elsewhere one
   by one. Nothing outside of p[0:end] is read: the last sixteen bytes are read again for a rest.

   What the tables of grammar.py say of a byte is said here once more; a test compares the two. */

#ifndef SPANS_H
#define SPANS_H

#ifdef __SSE2__

#include <emmintrin.h>

#define SIXTEEN(p) _mm_loadu_si128((const __m128i *)(p))
#define IS(x, byte) _mm_cmpeq_epi8((x), _mm_set1_epi8(byte))
#define EITHER(a, b) _mm_or_si128((a), (b))
/* Bytes are compared as -128 to 127: first becomes -128, and 126 comes where `first` decides. */
#define NOT_WITHIN(x, first)                                                                       \
    _mm_cmpgt_epi8(                                                                                \
        _mm_sub_epi8((x), _mm_set1_epi8((char)((first) + 128))), _mm_set1_epi8(-2 - (first)))

#define ENDS_PRINTABLE(x) NOT_WITHIN(x, 32)
#define ENDS_URI(x) EITHER(EITHER(NOT_WITHIN(x, 33), IS(x, '"')), EITHER(IS(x, '<'), IS(x, '>')))
#define ENDS_CALL_ID(x) EITHER(NOT_WITHIN(x, 33), EITHER(IS(x, ','), IS(x, ';')))
/* Letters, '_', and what lies from '-' to '9' but for '/'. */
#define BETWEEN(x, before, after)                                                                  \
    _mm_and_si128(                                                                                 \
        _mm_cmpgt_epi8((x), _mm_set1_epi8(before)), _mm_cmplt_epi8((x), _mm_set1_epi8(after)))
#define IN_HOST(x)                                                                                 \
    EITHER(EITHER(BETWEEN(EITHER(x, _mm_set1_epi8(32)), 'a' - 1, 'z' + 1), IS(x, '_')),            \
           _mm_andnot_si128(IS(x, '/'), BETWEEN(x, '-' - 1, '9' + 1)))
#define ENDS_HOST(x) _mm_cmpeq_epi8(IN_HOST(x), _mm_setzero_si128())
#define ENDS_PARAM(x) EITHER(ENDS_URI(x), EITHER(IS(x, '\\'), EITHER(IS(x, ','), IS(x, ';'))))

#define SPAN(name, ends)                                                                           \
    static inline int name(                                                                        \
        const unsigned char *p, int i, int end, const unsigned char *members)                      \
    {                                                                                              \
        int found;                                                                                 \
        for (; i + 16 <= end; i += 16) {                                                           \
            __m128i x = SIXTEEN(p + i);                                                            \
            found = _mm_movemask_epi8(ends(x));                                                    \
            if (found)                                                                             \
                return i + __builtin_ctz(found);                                                   \
        }                                                                                          \
        if (end >= 16) {                                                                           \
            __m128i x = SIXTEEN(p + end - 16);                                                     \
            found = _mm_movemask_epi8(ends(x)) >> (i + 16 - end);                                  \
            return found ? i + __builtin_ctz(found) : end;                                         \
        }                                                                                          \
        while (i < end && members[p[i]])                                                           \
            i++;                                                                                   \
        return i;                                                                                  \
    }

/* How long the name at p[i] is, if a colon ends it within sixteen bytes; else 0. */
static inline int name_length(const unsigned char *p, int i, int end)
{
    if (i + 16 <= end) {
        int found = _mm_movemask_epi8(IS(SIXTEEN(p + i), ':'));
        return found ? __builtin_ctz(found) : 0;
    }
    return 0;
}

#else

#define SPAN(name, ends)                                                                           \
    static inline int name(                                                                        \
        const unsigned char *p, int i, int end, const unsigned char *members)                      \
    {                                                                                              \
        while (i < end && members[p[i]])                                                           \
            i++;                                                                                   \
        return i;                                                                                  \
    }

static inline int name_length(const unsigned char *p, int i, int end)
{
    int length = 0;
    while (length < 16 && i + length < end && p[i + length] != ':')
        length++;
    return length < 16 && i + length < end ? length : 0;
}

#endif

/* The first index from i, end at most, of a byte that is not printable, or ends a URI, ... */
SPAN(span_printable, ENDS_PRINTABLE)
SPAN(span_uri, ENDS_URI)
SPAN(span_call_id, ENDS_CALL_ID)
SPAN(span_param, ENDS_PARAM)
SPAN(span_host, ENDS_HOST)

/* Whether p[i:i + length] is text[at:] in any case: `cases` has 32 where it has a letter. */
static inline int same_letters(
    const unsigned char *p, int i, int length, int end, const unsigned char *text,
    const unsigned char *cases, int at)
{
    text += at;
    cases += at;
#ifdef __SSE2__
    if (length <= 16 && i + 16 <= end) {
        __m128i lower = EITHER(SIXTEEN(p + i), SIXTEEN(cases));
        unsigned same = _mm_movemask_epi8(_mm_cmpeq_epi8(lower, SIXTEEN(text)));
        return (~same & ((1u << length) - 1)) == 0;
    }
#endif
    for (at = 0; at < length; at++)
        if ((p[i + at] | cases[at]) != text[at])
            return 0;
    return 1;
}

#endif
