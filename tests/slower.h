/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SLOWER_H
#define TESTS_SLOWER_H

/* A sanitizer makes what is tested several times slower: tests that can run any number of cases run one in so many of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TESTS_SLOWER 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TESTS_SLOWER 8
#endif
#endif
#ifndef TESTS_SLOWER
#define TESTS_SLOWER 1
#endif

#endif
