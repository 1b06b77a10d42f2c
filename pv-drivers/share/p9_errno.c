/* SPDX-License-Identifier: MIT */
/*
 * 9P2000.L says that Rlerror has "a numerical Linux errno", and Linux hands it to the program as it is.  The numbers of
 * MIPS differ from all other Linux's above 34 (arch/mips/include/uapi/asm/errno.h), and our guests are MIPS.
 */
#include <errno.h>

#include "pv-drivers/share/p9_server.h"

static const struct {
	int host;
	uint16_t mips;
} differs[] = {
    {EDEADLK, 45},       {ENAMETOOLONG, 78}, {ENOLCK, 46},           {ENOSYS, 89},      {ENOTEMPTY, 93},
    {ELOOP, 90},         {EOVERFLOW, 79},    {EBADFD, 81},           {EILSEQ, 88},      {EUSERS, 94},
    {ENOTSOCK, 95},      {EMSGSIZE, 97},     {EPROTONOSUPPORT, 120}, {EOPNOTSUPP, 122}, {ESTALE, 151},
    {EUCLEAN, 135},      {EREMOTEIO, 140},   {EDQUOT, 1133},         {ENOMEDIUM, 159},  {EMEDIUMTYPE, 160},
    {ECANCELED, 158},    {EKEYEXPIRED, 162}, {EKEYREJECTED, 164},    {ETIMEDOUT, 145},  {ENOBUFS, 132},
    {ENETDOWN, 127},     {ENETUNREACH, 128}, {ECONNRESET, 131},      {ENOTCONN, 134},   {ESHUTDOWN, 143},
    {ECONNREFUSED, 146}, {EHOSTDOWN, 147},   {EHOSTUNREACH, 148},    {EALREADY, 149},   {EINPROGRESS, 150},
    {ENOKEY, 161},       {EKEYREVOKED, 163}, {EHWPOISON, 168},       {EOWNERDEAD, 165}, {ENOTRECOVERABLE, 166},
};

uint32_t p9_guest_errno(int host)
{
	/* 1 to 34 and the STREAMS errors of 60 to 71 are the same everywhere. */
	if ((host >= 1 && host <= 34) || (host >= ENOSTR && host <= EPROTO))
		return (uint32_t)host;
	for (size_t i = 0; i < ARRAY_LEN(differs); i++)
		if (differs[i].host == host)
			return differs[i].mips;
	return EIO;
}
