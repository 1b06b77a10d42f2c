/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_STUB_H
#define VMM_DEBUG_STUB_H

/*
 * gdb's remote protocol (gdb's manual, "gdb Remote Serial Protocol"), without its transport: one debugger.
 *
 * All-stop: either all machines that it has are at rest, and packets are answered; or they run, and only an interrupt is heard.
 * Between the two a packet waits.  A machine is a process ("inferior"), its number among those of the monitor is the pid; a vCPU is
 * a thread, from 1.  One machine is attached at first; the others by vAttach, as with QEMU.
 *
 *   STOPPING ──── all at rest ────► STOPPED ──── vCont, c, s ────► RUNNING
 *      ▲                                                              │
 *      └───────────── a breakpoint, an interrupt, an end ─────────────┘
 */
#include "vmm/debug/machines.h"

struct stub;

/* first: the machine to begin with, 0: any.  NULL: there is none, or the host has no memory left. */
struct stub *stub_new(const struct debug_machines *machines, unsigned first);
/* All that it has is detached, and goes on. */
void stub_free(struct stub *s);
/* Something that came.  Returns how much of it was taken; the rest is to be offered again behind stub_look(). */
size_t stub_hear(struct stub *s, const uint8_t *data, size_t n);
/* There may be something new: debug.notify. */
void stub_look(struct stub *s);
/* What is to be sent: stub_sent() says how much was. */
const char *stub_says(const struct stub *s, size_t *n);
void stub_sent(struct stub *s, size_t n);
/* It has said good-bye, or does not read what it is told. */
bool stub_is_over(const struct stub *s);

#endif
