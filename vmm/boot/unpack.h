/* SPDX-License-Identifier: MIT */
#ifndef VMM_UNPACK_H
#define VMM_UNPACK_H

#include "base/panic.h"
#include "base/types.h"

/*
 * The first whole xz stream in data, unpacked, in *out (to be freed).  False: there is none, it has more than max bytes, or
 * the host has no memory for it.
 */
MUST_CHECK bool unpack_xz(const uint8_t *data, size_t bytes, size_t max, uint8_t **out, size_t *out_bytes);

#endif
