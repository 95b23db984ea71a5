# SPDX-License-Identifier: Apache-2.0
# QUAYFS_VERSION_STRING names the commit a program was built from, when there is one.
find_package(Git QUIET)
set(QUAYFS_COMMIT "")
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE QUAYFS_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(QUAYFS_COMMIT)
  set(QUAYFS_VERSION_STRING "${PROJECT_VERSION}+${QUAYFS_COMMIT}")
else()
  set(QUAYFS_VERSION_STRING "${PROJECT_VERSION}")
endif()
