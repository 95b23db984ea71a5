// SPDX-License-Identifier: Apache-2.0

#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

namespace quayfs {
namespace {

using testing::HasSubstr;

constexpr int kLastCode = static_cast<int>(Code::kInternal);

TEST(ErrorTest, EveryCodeHasItsOwnName) {
  std::set<std::string> names;
  for (int i = 0; i <= kLastCode; ++i) {
    const std::string name(CodeName(static_cast<Code>(i)));
    EXPECT_NE(name, "unknown") << i;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(CodeName(static_cast<Code>(kLastCode + 1)), "unknown");
  EXPECT_EQ(CodeName(Code::kNotFound), "not_found");
  EXPECT_EQ(CodeName(Code::kTooManySymlinks), "too_many_symlinks");
}

TEST(ErrorTest, CarriesCodeAndMessage) {
  const Error error(Code::kBusy, "the door is locked");
  EXPECT_EQ(error.code(), Code::kBusy);
  EXPECT_EQ(error.message(), "the door is locked");
  EXPECT_EQ(error.ToString(), "busy: the door is locked");
}

TEST(ErrorTest, DetailIsEmptyWhereTheServiceSaidNothing) {
  const Error error(Code::kBusy, "x");
  EXPECT_EQ(error.detail().http_status, 0);
  EXPECT_EQ(error.detail().service_code, "");
  EXPECT_EQ(error.detail().region, "");
}

TEST(ErrorTest, ToStringShowsWhatTheServiceSaid) {
  ServiceDetail detail;
  detail.http_status = 404;
  detail.service_code = "NoSuchKey";
  detail.request_id = "12AB";
  EXPECT_EQ(Error(Code::kNotFound, "no object 'a/b'", detail).ToString(),
            "not_found: no object 'a/b' (NoSuchKey, HTTP 404, request 12AB)");
  detail.service_code.clear();
  EXPECT_EQ(Error(Code::kNotFound, "gone", detail).ToString(),
            "not_found: gone (HTTP 404, request 12AB)");
  EXPECT_EQ(Error(Code::kNotFound, "gone", ServiceDetail{}).ToString(), "not_found: gone");
}

TEST(ErrorTest, ContextGoesInFrontAndKeepsTheRest) {
  ServiceDetail detail;
  detail.http_status = 503;
  const Error inner(Code::kThrottled, "slow down", detail);
  const Error outer = inner.WithContext("put 'k'").WithContext("upload");
  EXPECT_EQ(outer.message(), "upload: put 'k': slow down");
  EXPECT_EQ(outer.code(), Code::kThrottled);
  EXPECT_EQ(outer.detail().http_status, 503);
  EXPECT_EQ(inner.message(), "slow down");
}

TEST(ErrorTest, ErrnoPicksTheCode) {
  const struct {
    int errnum;
    Code code;
  } cases[] = {
      {ENOENT, Code::kNotFound},
      {EEXIST, Code::kAlreadyExists},
      {ESTALE, Code::kChanged},
      {ENOTDIR, Code::kNotDirectory},
      {EISDIR, Code::kIsDirectory},
      {ENOTEMPTY, Code::kNotEmpty},
      {ENAMETOOLONG, Code::kNameTooLong},
      {EMLINK, Code::kTooManyLinks},
      {ELOOP, Code::kTooManySymlinks},
      {EROFS, Code::kReadOnly},
      {EPERM, Code::kNotPermitted},
      {EBUSY, Code::kBusy},
      {EXDEV, Code::kCrossDevice},
      {ENODATA, Code::kNoAttribute},
      {ERANGE, Code::kBufferTooSmall},
      {EBADF, Code::kBadHandle},
      {EINVAL, Code::kInvalidArgument},
      {EOPNOTSUPP, Code::kNotSupported},
      {ENOSYS, Code::kNotSupported},
      {EFBIG, Code::kTooLarge},
      {EACCES, Code::kPermissionDenied},
      {ECONNREFUSED, Code::kUnavailable},
      {ETIMEDOUT, Code::kTimedOut},
      {EAGAIN, Code::kWouldBlock},
      {ENOSPC, Code::kNoSpace},
      {EDQUOT, Code::kQuota},
      {EIO, Code::kIo},
      {ENXIO, Code::kIo},
      {ECANCELED, Code::kCancelled},
      {987654, Code::kIo},
  };
  for (const auto& c : cases) {
    const Error error = ErrnoError(c.errnum, "doing it");
    EXPECT_EQ(error.code(), c.code) << c.errnum;
    EXPECT_THAT(error.message(), testing::StartsWith("doing it: "));
  }
  EXPECT_THAT(ErrnoError(ENOENT, "open 'x'").message(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace quayfs
