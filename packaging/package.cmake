# SPDX-License-Identifier: Apache-2.0
# The Debian package: scripts/package, or cpack -G DEB in the build folder.

# Newer commits have higher versions, and each version names its commit.
set(version ${PROJECT_VERSION})
if(QUAYFS_COMMIT)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} log -1 --format=%cd --date=format:%Y%m%d%H%M%S
    OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(version "${PROJECT_VERSION}~git${date}.${QUAYFS_COMMIT}")
endif()

# Debian wants these of a package, and nobody of an installation.
set(day "Thu, 01 Jan 1970 00:00:00 +0000")
if(QUAYFS_COMMIT)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} log -1 --format=%cD
    OUTPUT_VARIABLE day OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(maintainer "The quayfs developers <quayfs@packages.invalid>")
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian
  "quayfs (${version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- ${maintainer}  ${day}\n")
execute_process(COMMAND gzip -9nc ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian
  OUTPUT_FILE ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian.gz)
install(FILES debian/copyright DESTINATION share/doc/quayfs COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES debian/lintian-overrides DESTINATION share/lintian/overrides RENAME quayfs COMPONENT debian EXCLUDE_FROM_ALL)
# Where mount configs go; nothing lies in it, so nothing of the administrator's is ever asked about.
install(DIRECTORY DESTINATION /etc/quayfs COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME quayfs)
set(CPACK_PACKAGE_VERSION ${version})
set(CPACK_PACKAGE_CONTACT ${maintainer})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "mount a bucket of an object store as a file system")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "quayfs makes a bucket of Qiniu Kodo, Amazon S3 or any S3-compatible
service, or a folder of this machine, look like a local file system. One
file is one object under its own name, so that other tools see the same.
.
It brings helpers for mount(8), fstab and systemd, keeps what is written in a
local cache until it is in the bucket, and is meant for backups: restic, borg,
rsync, tar and database dumps work on it as they are.")
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "fuse3, mount, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${CMAKE_CURRENT_SOURCE_DIR}/debian/postinst;${CMAKE_CURRENT_SOURCE_DIR}/debian/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian.gz DESTINATION share/doc/quayfs COMPONENT debian EXCLUDE_FROM_ALL)
set(CPACK_COMPONENTS_ALL Unspecified debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
include(CPack)
