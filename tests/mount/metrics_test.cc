// SPDX-License-Identifier: Apache-2.0
//
// `quayfs metrics` and `quayfs log-level` on a running mount.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <regex>
#include <string>

#include "base/unique_fd.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsTest : public ServerTest {
 protected:
  /// The value of the line that begins so; -1 if there is none.
  double Value(const std::string& metric, const std::string& labels = "") {
    const ProgramResult result = RunQuayfs({"metrics", env().mount_point()});
    EXPECT_EQ(result.status, 0) << result.err;
    text_ = result.out;
    const std::regex line(metric + "\\{mount=\"[^\"]*\"" + labels + "[^}]*\\} ([0-9.e+-]+)\n");
    std::smatch found;
    return std::regex_search(text_, found, line) ? std::stod(found[1]) : -1;
  }
  std::string text_;
};

TEST_F(MetricsTest, CountWhatTheMountDoes) {
  env().PutObject("cold", "0123456789");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  testserver::Fault fault;
  fault.method = "PUT";
  fault.count = 1;
  server().AddFault(fault);
  WriteFile(Path("f"), "hello");
  env().Sync();
  EXPECT_EQ(ReadFile(Path("cold")), "0123456789");
  EXPECT_EQ(Value("quayfs_requests_total", ",operation=\"put\",status=\"2xx\""), 1);
  EXPECT_EQ(Value("quayfs_requests_total", ",operation=\"put\",status=\"5xx\""), 1);
  EXPECT_EQ(Value("quayfs_throttled_total"), 1);
  EXPECT_EQ(Value("quayfs_retries_total"), 1);
  EXPECT_EQ(Value("quayfs_received_bytes_total") >= 10, true);
  EXPECT_EQ(Value("quayfs_dirty_bytes"), 0);
  EXPECT_GE(Value("quayfs_cache_total", ",operation=\"read\",result=\"miss\""), 1);
  EXPECT_GE(Value("quayfs_fuse_operations_total", ",operation=\"create\""), 1);
  EXPECT_GE(Value("quayfs_request_duration_seconds_count", ",operation=\"put\""), 2);
  EXPECT_THAT(text_, Not(HasSubstr("test-secret")));
  EXPECT_THAT(text_, Not(HasSubstr("cold"))) << "no names of files";
  const ProgramResult all = RunQuayfs({"metrics"});
  EXPECT_THAT(all.out, HasSubstr(env().mount_point()));
}

TEST_F(MetricsTest, ClosingWhatWasOnlyReadTakesNoCallOfItsOwn) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  WriteFile(Path("f"), "hello");
  const double before = Value("quayfs_fuse_operations_total", ",operation=\"flush\"");
  const double reads = Value("quayfs_fuse_operations_total", ",operation=\"release\"");
  EXPECT_GE(before, 1);
  EXPECT_EQ(ReadFile(Path("f")), "hello");
  EXPECT_TRUE(Eventually(
      [&] { return Value("quayfs_fuse_operations_total", ",operation=\"release\"") > reads; }));
  EXPECT_EQ(Value("quayfs_fuse_operations_total", ",operation=\"flush\""), before);
}

/// A port that nobody has right now.
int FreePort() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic =
      reinterpret_cast<sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
  EXPECT_EQ(::bind(probe.get(), generic, size), 0);
  EXPECT_EQ(::getsockname(probe.get(), generic, &size), 0);
  return ntohs(address.sin_port);
}

TEST_F(MetricsTest, ArePutOutAtALoopbackPortIfTheConfigSaysSo) {
  const std::string port = std::to_string(FreePort());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "metrics.port=" + port}));
  const auto fetch = [&](const std::string& path, const std::string& method = "GET") {
    return RunCommand(
        {"curl", "-sS", "-i", "-m", "20", "-X", method, "http://127.0.0.1:" + port + path});
  };
  const ProgramResult metrics = fetch("/metrics");
  ASSERT_EQ(metrics.status, 0) << metrics.err << env().LogText();
  EXPECT_THAT(metrics.out, HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(metrics.out, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.out, HasSubstr("quayfs_request_duration_seconds_bucket{mount="));
  EXPECT_THAT(metrics.out, HasSubstr("quayfs_dirty_bytes{mount="));
  EXPECT_THAT(metrics.out, Not(HasSubstr("test-secret")));
  EXPECT_THAT(fetch("/").out, HasSubstr("HTTP/1.1 404 "));
  EXPECT_THAT(fetch("/metrics", "POST").out, HasSubstr("HTTP/1.1 405 "));
  const ProgramResult listening = RunCommand({"cat", "/proc/net/tcp"});
  EXPECT_THAT(listening.out,
              HasSubstr(fmt::format("0100007F:{:04X} 00000000:0000 0A", std::stoi(port))))
      << "at the loopback address only";
  env().Unmount();
  EXPECT_NE(fetch("/metrics").status, 0);
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_NE(fetch("/metrics").status, 0) << "nothing listens unless it is told to";
}

TEST_F(MetricsTest, TheLogsLevelCanBeChangedWhileItRuns) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(RunQuayfs({"log-level", env().mount_point()}).out, "info\n");
  EXPECT_EQ(RunQuayfs({"log-level", env().mount_point(), "debug"}).status, 0);
  EXPECT_EQ(RunQuayfs({"log-level", env().mount_point()}).out, "debug\n");
  WriteFile(Path("f"), "hello");
  env().Sync();
  EXPECT_THAT(env().LogText(), HasSubstr("s3.request"));
  const ProgramResult refused = RunQuayfs({"log-level", env().mount_point(), "loud"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("debug, info, warning, error"));
}

}  // namespace
}  // namespace quayfs::mounttest
