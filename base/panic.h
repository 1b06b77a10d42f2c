/* SPDX-License-Identifier: MIT */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

/*
 * The three kinds of error never mix (design.md section 5):
 *   host failure     0 or -errno, MUST_CHECK
 *   guest exception  enum mips_exc (ir/guest_state.h)
 *   internal bug     panic(): prints, then abort().  No guest input, image or option reaches it; where a failure could
 *                   only be reported, but not survived (no memory in the middle of a translation), the host does
 */
#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Report a bug of Disco itself and abort.  Any thread. */
_Noreturn void panic_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* fn(arg) runs once inside panic(), before the message: it gives the terminal back.  Of this thread; NULL: none. */
void panic_set_hook(void (*fn)(void *arg), void *arg);
/* What this thread's is, for work that moves from thread to thread. */
void panic_get_hook(void (**fn)(void *arg), void **arg);

/* fn(arg) runs once inside panic(), behind the message: what is known of how it came to this.  Of this thread; NULL: nothing. */
void panic_set_last_words(void (*fn)(void *arg), void *arg);

#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

/* Checked in debug builds only (CMake preset "debug" and the sanitizers). */
#ifdef DISCO_ASSERT
#define ASSERT(c) ((c) ? (void)0 : panic("assertion failed: %s", #c))
#else
#define ASSERT(c) ((void)sizeof(c))
#endif

#endif
