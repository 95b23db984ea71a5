# SPDX-License-Identifier: Apache-2.0
# Compiler settings every target shares: warnings are errors, sanitizers by preset, ccache when it is there.

option(QUAYFS_THREAD_SAFETY "clang: treat lock annotations as errors" OFF)
set(QUAYFS_SANITIZE "" CACHE STRING "sanitizers, as in -fsanitize=")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual
  -Woverloaded-virtual -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough)
# A destination that is filled field by field is this project's style; the check is about C.
add_compile_options(-Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # In optimised builds g++ 12 sees overlaps in std::string's operator+ that cannot be (GCC bug 105651).
  add_compile_options(-Wno-restrict)
endif()
add_compile_definitions(_FILE_OFFSET_BITS=64)

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_options(-fstack-protector-strong)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

if(QUAYFS_SANITIZE)
  add_compile_options(-fsanitize=${QUAYFS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUAYFS_SANITIZE})
  # With them gcc takes what it has instrumented itself (function objects inside <regex>) for variables without a value; the other
  # presets look for those.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
endif()

if(QUAYFS_THREAD_SAFETY)
  add_compile_options(-Wthread-safety)
endif()
