// SPDX-License-Identifier: Apache-2.0
//
// Names for clang's thread-safety attributes; they vanish under other compilers.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html

#pragma once

#if defined(__clang__)
#define QUAY_ATTRIBUTE(x) __attribute__((x))
#else
#define QUAY_ATTRIBUTE(x)
#endif

#define QUAY_CAPABILITY(x) QUAY_ATTRIBUTE(capability(x))
#define QUAY_SCOPED_CAPABILITY QUAY_ATTRIBUTE(scoped_lockable)
#define QUAY_GUARDED_BY(x) QUAY_ATTRIBUTE(guarded_by(x))
#define QUAY_PT_GUARDED_BY(x) QUAY_ATTRIBUTE(pt_guarded_by(x))
#define QUAY_REQUIRES(...) QUAY_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define QUAY_REQUIRES_SHARED(...) QUAY_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define QUAY_ACQUIRE(...) QUAY_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define QUAY_ACQUIRE_SHARED(...) QUAY_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define QUAY_RELEASE(...) QUAY_ATTRIBUTE(release_capability(__VA_ARGS__))
#define QUAY_RELEASE_SHARED(...) QUAY_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define QUAY_RELEASE_GENERIC(...) QUAY_ATTRIBUTE(release_generic_capability(__VA_ARGS__))
#define QUAY_EXCLUDES(...) QUAY_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define QUAY_ASSERT_CAPABILITY(x) QUAY_ATTRIBUTE(assert_capability(x))
#define QUAY_RETURN_CAPABILITY(x) QUAY_ATTRIBUTE(lock_returned(x))
#define QUAY_NO_THREAD_SAFETY_ANALYSIS QUAY_ATTRIBUTE(no_thread_safety_analysis)
