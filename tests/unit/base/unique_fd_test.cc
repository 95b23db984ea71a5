// SPDX-License-Identifier: Apache-2.0

#include "base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace quayfs {
namespace {

int OpenNull() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(UniqueFdTest, ClosesWhatItOwns) {
  const int raw = OpenNull();
  ASSERT_GE(raw, 0);
  {
    const UniqueFd fd(raw);
    EXPECT_TRUE(fd.valid());
    EXPECT_EQ(fd.get(), raw);
  }
  EXPECT_FALSE(IsOpen(raw));
  EXPECT_FALSE(UniqueFd().valid());
  EXPECT_EQ(UniqueFd().get(), -1);
}

TEST(UniqueFdTest, MovesAndReleases) {
  const int raw = OpenNull();
  UniqueFd first(raw);
  UniqueFd second(std::move(first));
  EXPECT_EQ(second.get(), raw);
  const int other = OpenNull();
  UniqueFd third(other);
  third = std::move(second);
  EXPECT_FALSE(IsOpen(other));
  EXPECT_TRUE(IsOpen(raw));
  EXPECT_EQ(third.Release(), raw);
  EXPECT_FALSE(third.valid());
  EXPECT_TRUE(IsOpen(raw));
  third.Reset(raw);
  third.Reset(raw);
  EXPECT_TRUE(IsOpen(raw));
  third.Reset();
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFdTest, KeepsErrno) {
  UniqueFd bad(987654);
  errno = ENOSPC;
  bad.Reset();
  EXPECT_EQ(errno, ENOSPC);
}

}  // namespace
}  // namespace quayfs
